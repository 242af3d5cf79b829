// The per-element formulas of dequantization.h, shared by every backend.
#pragma once

#include <cmath>

#include "kernels/activation_math.h"
#include "kernels/dequantization.h"

namespace flowsmith {

/// p = alpha/2 + (1 - alpha) * v and q = 1 - p = alpha/2 + (1 - alpha) * (1 - v). Taking q from 1 - v
/// instead of from p keeps its digits where p is nearly 1, which matters in float.
template <class T>
struct SqueezedUnit {
  T p, q;
};

template <class T>
FLOWSMITH_HD inline SqueezedUnit<T> squeeze_unit(T v, T one_minus_v) {
  return {T(kAlpha / 2) + T(1 - kAlpha) * v, T(kAlpha / 2) + T(1 - kAlpha) * one_minus_v};
}

/// p and q of v = (pixel + u) / 256.
template <class T>
FLOWSMITH_HD inline SqueezedUnit<T> squeeze_pixel(std::uint8_t pixel, T u) {
  return squeeze_unit((T(pixel) + u) / T(kGreyLevels), (T(255 - pixel) + (T(1) - u)) / T(kGreyLevels));
}

/// logit(v) and log d logit/dv, which share their two logarithms.
template <class T>
struct Logit {
  T value, log_derivative;
};

template <class T>
FLOWSMITH_HD inline Logit<T> logit(SqueezedUnit<T> unit) {
  const T log_p = std::log(unit.p);
  const T log_q = std::log(unit.q);
  return {log_p - log_q, std::log1p(T(-kAlpha)) - log_p - log_q};
}

/// The pixel of z. In double for every T: the floor must not depend on a rounding that can be avoided.
template <class T>
FLOWSMITH_HD inline std::uint8_t pixel_of(T z) {
  const double level = kGreyLevels * (sigmoid(double(z)) - kAlpha / 2) / (1 - kAlpha);
  if (!(level > 0)) return 0;  // also NaN, which has no integer
  return level < 255 ? std::uint8_t(level) : std::uint8_t(255);
}

/// sigmoid(v), kept within [2^-32, 1 - 2^-32] in double (see sigmoid_forward).
FLOWSMITH_HD inline float open_sigmoid(float v) { return sigmoid(v); }
FLOWSMITH_HD inline double open_sigmoid(double v) {
  constexpr double kEdge = 1.0 / 4294967296.0;
  const double u = sigmoid(v);
  return u < kEdge ? kEdge : u > 1 - kEdge ? 1 - kEdge : u;
}

/// log dsigmoid/dv = -|v| - 2 log(1 + exp(-|v|)): the form in which no exp can overflow.
template <class T>
FLOWSMITH_HD inline T log_sigmoid_derivative(T v) {
  const T a = std::abs(v);
  return -a - T(2) * std::log1p(std::exp(-a));
}

}  // namespace flowsmith
