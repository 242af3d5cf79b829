// The per-element formulas of dequantization.h, shared by every backend.
#pragma once

#include <cmath>

#include "kernels/activation_math.h"
#include "kernels/dequantization.h"

namespace flowsmith::core {

/// What a Dequantizer is in the formulas, in the type in which they are computed. Built once per call, on the host.
template <class T>
struct DequantizerTerms {
  int levels;
  T half_alpha, slope, log_slope;  ///< alpha / 2, 1 - alpha, log(1 - alpha)
  T slope_of_u;                    ///< dp/du of a pixel: (1 - alpha) / levels
  T step;                          ///< 1 / levels, a power of two
  double log_levels;

  explicit DequantizerTerms(Dequantizer d)
      : levels(d.levels),
        half_alpha(T(d.alpha / 2)),
        slope(T(1 - d.alpha)),
        log_slope(std::log1p(T(-d.alpha))),
        slope_of_u(T((1 - d.alpha) / d.levels)),
        step(T(1) / T(d.levels)),
        log_levels(std::log(double(d.levels))) {}
};

/// p = alpha/2 + (1 - alpha) * v and q = 1 - p = alpha/2 + (1 - alpha) * (1 - v). Taking q from 1 - v
/// instead of from p keeps its digits where p is nearly 1, which matters in float.
template <class T>
struct SqueezedUnit {
  T p, q;
};

template <class T>
FLOWSMITH_HD inline SqueezedUnit<T> squeeze_unit(T v, T one_minus_v, const DequantizerTerms<T>& terms) {
  return {terms.half_alpha + terms.slope * v, terms.half_alpha + terms.slope * one_minus_v};
}

/// p and q of v = (level of the pixel + u) / levels.
template <class T>
FLOWSMITH_HD inline SqueezedUnit<T> squeeze_pixel(std::uint8_t pixel, T u, const DequantizerTerms<T>& terms) {
  const int level = grey_level(pixel, terms.levels);
  return squeeze_unit((T(level) + u) * terms.step, (T(terms.levels - 1 - level) + (T(1) - u)) * terms.step, terms);
}

/// logit(v) and log d logit/dv, which share their two logarithms.
template <class T>
struct Logit {
  T value, log_derivative;
};

template <class T>
FLOWSMITH_HD inline Logit<T> logit(SqueezedUnit<T> unit, const DequantizerTerms<T>& terms) {
  const T log_p = std::log(unit.p);
  const T log_q = std::log(unit.q);
  return {log_p - log_q, terms.log_slope - log_p - log_q};
}

/// The pixel of z. In double for every T: the floor must not depend on a rounding that can be avoided.
template <class T>
FLOWSMITH_HD inline std::uint8_t pixel_of(T z, const Dequantizer& dequantizer) {
  const int levels = dequantizer.levels;
  const double level = levels * (sigmoid(double(z)) - dequantizer.alpha / 2) / (1 - dequantizer.alpha);
  if (!(level > 0)) return 0;  // also NaN, which has no integer
  return grey_value(level < levels - 1 ? int(level) : levels - 1, levels);
}

/// sigmoid(v), kept within [2^-32, 1 - 2^-32] in double (see sigmoid_forward).
FLOWSMITH_HD inline float open_sigmoid(float v) { return sigmoid(v); }
FLOWSMITH_HD inline double open_sigmoid(double v) {
  constexpr double kEdge = 1.0 / 4294967296.0;
  const double u = sigmoid(v);
  return u < kEdge ? kEdge : u > 1 - kEdge ? 1 - kEdge : u;
}

/// The noise of a sigmoid that takes alpha back: the same bits for alpha = 0.
template <class T>
FLOWSMITH_HD inline T noise_from(T p, double alpha) {
  return (p - T(alpha / 2)) / T(1 - alpha);
}

/// log dsigmoid/dv = -|v| - 2 log(1 + exp(-|v|)): the form in which no exp can overflow.
template <class T>
FLOWSMITH_HD inline T log_sigmoid_derivative(T v) {
  const T a = std::abs(v);
  return -a - T(2) * std::log1p(std::exp(-a));
}

}  // namespace flowsmith::core
