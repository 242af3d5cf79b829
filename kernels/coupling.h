// Affine coupling with a bounded, learned scale (RealNVP, Dinh et al. 2017, equations 7-8).
//
//   f = exp(scaling_factor[c])            bound of the log-scale, one per channel
//   s = (1 - mask) * tanh(s_raw / f) * f
//   t = (1 - mask) * t_raw
//   forward  z' = (z + t) * exp(s)        logdet += sum s
//   inverse  z  = z' * exp(-s) - t        logdet -= sum s
//
// The network's output st (n,h,w,2c) holds s_raw in its first c channels and t_raw in its last c.
// Where mask = 1 the output is a copy of the input, bit for bit: the inverse feeds the conditioner what the
// forward direction did, so the only rounding is in the two lines above.
//
// Z is the type of the flow's path (float while training, double for encode, decode and scoring), S
// that of the network. logdet is always double: one number per image costs nothing and sums thousands.
#pragma once

#include <cmath>

#include "kernels/mask.h"

namespace flowsmith {

/// z_out (n,h,w,c), logdet (n) accumulated, z (n,h,w,c), st (n,h,w,2c), scaling_factor (c).
/// z_out may be z itself.
template <class Z, class S>
void coupling_forward(Z* z_out, double* logdet, const Z* z, const S* st, const S* scaling_factor, MapShape shape,
                      Mask mask, Reference);
template <class Z>
void coupling_forward(Z* z_out, double* logdet, const Z* z, const float* st, const float* scaling_factor,
                      MapShape shape, Mask mask, Cpu);
template <class Z, Gpu G>
void coupling_forward(Z* z_out, double* logdet, const Z* z, const float* st, const float* scaling_factor,
                      MapShape shape, Mask mask, G gpu);

/// The inverse; `logdet` may be null when only the sample is wanted. z may be z_out itself.
template <class Z, class S>
void coupling_inverse(Z* z, double* logdet, const Z* z_out, const S* st, const S* scaling_factor, MapShape shape,
                      Mask mask, Reference);
template <class Z>
void coupling_inverse(Z* z, double* logdet, const Z* z_out, const float* st, const float* scaling_factor,
                      MapShape shape, Mask mask, Cpu);
template <class Z, Gpu G>
void coupling_inverse(Z* z, double* logdet, const Z* z_out, const float* st, const float* scaling_factor,
                      MapShape shape, Mask mask, G gpu);

/// Gradients of coupling_forward, with h = tanh(s_raw/f), e = exp(s), m = 1 - mask:
///   dz     = dz_out * e
///   ds     = m * (dz_out * (z + t) * e + dlogdet)
///   ds_raw = ds * (1 - h^2)
///   dt_raw = m * dz_out * e
///   dscaling_factor[c] = sum over n,y,x of ds * (h*f - s_raw*(1 - h^2))
/// Shapes: dz, dz_out, z (n,h,w,c); dst, st (n,h,w,2c); dscaling_factor (c); dlogdet (n).
/// The sum over the batch has a fixed order, whatever the number of threads. dz may overwrite dz_out itself.
template <class Z, class S>
void coupling_backward(Grad<Z> dz, Grad<S> dst, Grad<S> dscaling_factor, const Z* dz_out, const double* dlogdet,
                       const Z* z, const S* st, const S* scaling_factor, MapShape shape, Mask mask, Reference);
template <class Z>
void coupling_backward(Grad<Z> dz, Grad<float> dst, Grad<float> dscaling_factor, const Z* dz_out, const double* dlogdet,
                       const Z* z, const float* st, const float* scaling_factor, MapShape shape, Mask mask, Cpu);
template <class Z, Gpu G>
void coupling_backward(Grad<Z> dz, Grad<float> dst, Grad<float> dscaling_factor, const Z* dz_out, const double* dlogdet,
                       const Z* z, const float* st, const float* scaling_factor, MapShape shape, Mask mask, G gpu);

}  // namespace flowsmith
