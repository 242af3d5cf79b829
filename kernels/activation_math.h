// The per-element formulas of activation.h, shared by every backend.
#pragma once

#include <cmath>

#include "kernels/activation.h"

namespace flowsmith::core {

/// elu(a) = a for a > 0, exp(a) - 1 otherwise; expm1 keeps the digits of a small negative a.
template <class T>
FLOWSMITH_HD inline T elu(T a) {
  return a > 0 ? a : std::expm1(a);
}

/// elu'(a) = 1 for a > 0, exp(a) otherwise.
template <class T>
FLOWSMITH_HD inline T elu_derivative(T a) {
  return a > 0 ? T(1) : std::exp(a);
}

inline constexpr double kLeakySlope = 0.01;

template <class T>
FLOWSMITH_HD inline T activate(Activation activation, T x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return x < 0 ? T(0) : x;  // not a number stays that
    case Activation::kElu:
      return elu(x);
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kLeakyRelu:
      return x > 0 ? x : T(kLeakySlope) * x;
  }
  return x;
}

/// act'(x) from y = act(x).
template <class T>
FLOWSMITH_HD inline T activation_derivative(Activation activation, T y) {
  switch (activation) {
    case Activation::kNone:
      return T(1);
    case Activation::kRelu:
      return y > 0 ? T(1) : T(0);
    case Activation::kElu:
      return y > 0 ? T(1) : y + T(1);
    case Activation::kTanh:
      return (T(1) - y) * (T(1) + y);  // near 1 and -1 without the rounding of a square
    case Activation::kLeakyRelu:
      return y > 0 ? T(1) : T(kLeakySlope);
  }
  return T(1);
}

/// 1 / (1 + exp(-a)). An exp(-a) that overflows gives 0, as it should. 1 - sigmoid(a) is sigmoid(-a).
template <class T>
FLOWSMITH_HD inline T sigmoid(T a) {
  return T(1) / (T(1) + std::exp(-a));
}

/// sigmoid(a) and sigmoid(-a) from one exponential and one division; the smaller keeps its digits too.
template <class T>
struct SigmoidPair {
  T of, of_negative;
};

template <class T>
FLOWSMITH_HD inline SigmoidPair<T> sigmoid_pair(T a) {
  const T e = std::exp(-std::abs(a)), larger = T(1) / (T(1) + e), smaller = e * larger;
  return a < 0 ? SigmoidPair<T>{smaller, larger} : SigmoidPair<T>{larger, smaller};
}

}  // namespace flowsmith::core
