// The per-element formulas of activation.h, shared by every backend.
#pragma once

#include <cmath>

#include "kernels/types.h"

namespace flowsmith {

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

}  // namespace flowsmith
