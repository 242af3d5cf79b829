// Affine coupling (RealNVP, Dinh et al. 2017, section 3): elements that the mask hides are scaled and shifted by what a
// network says of the others.
//
//   shift first  forward z' = (z + t) exp(s)    inverse z = z' exp(-s) - t
//   otherwise    forward z' = z exp(s) + t      inverse z = (z' - t) exp(-s)     (RealNVP, equations 7 and 8)
//   forward logdet += sum s, inverse logdet -= sum s, over the elements with mask = 0
//
// The network's output st (n,h,w,2c) holds s_raw in its first c channels and t = t_raw in its last c. How s comes from
// s_raw is the ScaleBound. Where mask = 1 the output is a copy of the input, bit for bit: the inverse feeds the
// conditioner what the forward direction did, so the only rounding is in the lines above.
//
// Z is the type of the flow's path (float while training, double for encode, decode and scoring), S
// that of the network. logdet is always double: one number per image costs nothing and sums thousands.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/mask.h"

namespace flowsmith::core {

/// The log-scale s of an element, and the most that it can be: one layer expands by exp(that) or less.
enum class ScaleBound {
  kNone,         ///< s = s_raw: no cap
  kTanh,         ///< s = tanh(s_raw): |s| < 1
  kLearnedTanh,  ///< s = f tanh(s_raw / f), f = exp(scaling_factor[channel]): |s| < f. The tutorial's
  kSigmoid,  ///< exp(s) = 2 sigmoid(s_raw + sigmoid_shift): s < log 2, and no cap below. Jet (Kolesnikov et al. 2024)
};

/// The default is the tutorial's.
struct AffineForm {
  ScaleBound bound = ScaleBound::kLearnedTanh;
  bool shift_first = true;
  float sigmoid_shift = 0;  ///< of kSigmoid: b in 2 sigmoid(s_raw + b)
};

/// The cap on s: infinity, 1, f or log 2. `f` is looked at for kLearnedTanh only.
inline double largest_log_scale(ScaleBound bound, double f = 1) {
  switch (bound) {
    case ScaleBound::kNone:
      break;
    case ScaleBound::kTanh:
      return 1;
    case ScaleBound::kLearnedTanh:
      return f;
    case ScaleBound::kSigmoid:
      return std::log(2.0);
  }
  return std::numeric_limits<double>::infinity();
}

/// z_out (n,h,w,c), logdet (n) accumulated, z (n,h,w,c), st (n,h,w,2c), scaling_factor (c) with kLearnedTanh and null
/// otherwise. z_out may be z itself. Expands by exp(largest_log_scale) at most: no cap, e, e^f, 2.
template <class Z, class S>
void affine_coupling_forward(Z* z_out, double* logdet, const Z* z, const S* st, const S* scaling_factor, MapShape shape,
                             Mask mask, AffineForm form, Reference);
template <class Z>
void affine_coupling_forward(Z* z_out, double* logdet, const Z* z, const float* st, const float* scaling_factor,
                             MapShape shape, Mask mask, AffineForm form, Cpu);
template <class Z, Gpu G>
void affine_coupling_forward(Z* z_out, double* logdet, const Z* z, const float* st, const float* scaling_factor,
                             MapShape shape, Mask mask, AffineForm form, G gpu);

/// The inverse; `logdet` may be null when only the sample is wanted. z may be z_out itself. Expands by e^1 with kTanh
/// and e^f with kLearnedTanh at most; with kNone and kSigmoid there is no cap this way.
template <class Z, class S>
void affine_coupling_inverse(Z* z, double* logdet, const Z* z_out, const S* st, const S* scaling_factor, MapShape shape,
                             Mask mask, AffineForm form, Reference);
template <class Z>
void affine_coupling_inverse(Z* z, double* logdet, const Z* z_out, const float* st, const float* scaling_factor,
                             MapShape shape, Mask mask, AffineForm form, Cpu);
template <class Z, Gpu G>
void affine_coupling_inverse(Z* z, double* logdet, const Z* z_out, const float* st, const float* scaling_factor,
                             MapShape shape, Mask mask, AffineForm form, G gpu);

/// Gradients of affine_coupling_forward, with e = exp(s), m = 1 - mask:
///   dz     = dz_out * e
///   ds     = m * (dz_out * (z + t) * e + dlogdet)     shift first;  m * (dz_out * z * e + dlogdet)  otherwise
///   dt     = m * dz_out * e                           shift first;  m * dz_out                      otherwise
///   ds_raw = ds * ds/ds_raw: 1 with kNone, 1 - tanh^2 with both tanh, sigmoid(-s_raw - b) with kSigmoid
///   dscaling_factor[c] = sum over n,y,x of ds * (h*f - s_raw*(1 - h^2)), h = tanh(s_raw/f)
/// Shapes: dz, dz_out, z (n,h,w,c); dst, st (n,h,w,2c); dscaling_factor (c), null but with kLearnedTanh; dlogdet (n).
/// The sum over the batch has a fixed order, whatever the number of threads. dz may overwrite dz_out itself. Expands
/// gradients by what forward expands z by.
template <class Z, class S>
void affine_coupling_backward(Grad<Z> dz, Grad<S> dst, Grad<S> dscaling_factor, const Z* dz_out, const double* dlogdet,
                              const Z* z, const S* st, const S* scaling_factor, MapShape shape, Mask mask,
                              AffineForm form, Reference);
template <class Z>
void affine_coupling_backward(Grad<Z> dz, Grad<float> dst, Grad<float> dscaling_factor, const Z* dz_out,
                              const double* dlogdet, const Z* z, const float* st, const float* scaling_factor,
                              MapShape shape, Mask mask, AffineForm form, Cpu);
template <class Z, Gpu G>
void affine_coupling_backward(Grad<Z> dz, Grad<float> dst, Grad<float> dscaling_factor, const Z* dz_out,
                              const double* dlogdet, const Z* z, const float* st, const float* scaling_factor,
                              MapShape shape, Mask mask, AffineForm form, G gpu);

}  // namespace flowsmith::core
