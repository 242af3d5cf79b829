// The per-element formulas of coupling.h, shared by every backend.
#pragma once

#include <cmath>

#include "kernels/types.h"

namespace flowsmith {

/// The bounded log-scale of one transformed element and its two derivatives, for a bound f.
template <class T>
struct CouplingScale {
  T s;         ///< h * f with h = tanh(s_raw / f)
  T ds_raw;    ///< ds / ds_raw = 1 - h^2
  T dscaling;  ///< ds / dlog f = h * f - s_raw * (1 - h^2)
};

template <class T>
FLOWSMITH_HD inline CouplingScale<T> coupling_scale_of(T h, T s_raw, T f) {
  const T ds_raw = T(1) - h * h;
  return {h * f, ds_raw, h * f - s_raw * ds_raw};
}

template <class T>
FLOWSMITH_HD inline CouplingScale<T> coupling_scale(T s_raw, T f) {
  return coupling_scale_of(std::tanh(s_raw / f), s_raw, f);
}

}  // namespace flowsmith
