// The per-element formulas of affine_coupling.h, shared by every backend.
#pragma once

#include <cmath>

#include "kernels/affine_coupling.h"

namespace flowsmith::core {

/// The log-scale of one transformed element and its derivatives.
template <class T>
struct LogScale {
  T s;
  T ds_raw;    ///< ds / ds_raw
  T dscaling;  ///< ds / dlog f, where there is an f
};

/// s = f h with h = tanh(s_raw / f).
template <class T>
FLOWSMITH_HD inline LogScale<T> tanh_log_scale(T h, T s_raw, T f) {
  const T ds_raw = T(1) - h * h;
  return {h * f, ds_raw, h * f - s_raw * ds_raw};
}

/// s = log(2 sigmoid(x)); e^-|x| neither overflows nor cancels.
template <class T>
FLOWSMITH_HD inline LogScale<T> sigmoid_log_scale(T x) {
  constexpr double kLn2 = 0.693147180559945309417;
  const T u = std::exp(-std::abs(x));
  const T log_sigmoid = (x < T(0) ? x : T(0)) - std::log1p(u);
  return {T(kLn2) + log_sigmoid, (x < T(0) ? T(1) : u) / (T(1) + u), T(0)};
}

/// The bound f of both tanh; nobody looks at that of the others.
template <class T, class S>
FLOWSMITH_HD inline T scale_bound(const S* scaling_factor, int k) {
  return scaling_factor == nullptr ? T(1) : T(std::exp(T(scaling_factor[k])));
}

template <class T>
FLOWSMITH_HD inline LogScale<T> log_scale(AffineForm form, T s_raw, T f) {
  switch (form.bound) {
    case ScaleBound::kNone:
      break;
    case ScaleBound::kTanh:
    case ScaleBound::kLearnedTanh:
      return tanh_log_scale(T(std::tanh(s_raw / f)), s_raw, f);
    case ScaleBound::kSigmoid:
      return sigmoid_log_scale(s_raw + T(form.sigmoid_shift));
  }
  return {s_raw, T(1), T(0)};
}

/// z' from z, with e = exp(s).
template <class T>
FLOWSMITH_HD inline T affine(T z, T t, T e, bool shift_first) {
  return shift_first ? (z + t) * e : z * e + t;
}

/// z from z', with e = exp(-s).
template <class T>
FLOWSMITH_HD inline T affine_inverse(T z_out, T t, T e, bool shift_first) {
  return shift_first ? z_out * e - t : (z_out - t) * e;
}

template <class T>
struct AffineGradient {
  T z, t, s;
};

/// With e = exp(s).
template <class T>
FLOWSMITH_HD inline AffineGradient<T> affine_backward(T dz_out, T dlogdet, T z, T t, T e, bool shift_first) {
  const T dz = dz_out * e;
  return shift_first ? AffineGradient<T>{dz, dz, dz * (z + t) + dlogdet}
                     : AffineGradient<T>{dz, dz_out, dz * z + dlogdet};
}

}  // namespace flowsmith::core
