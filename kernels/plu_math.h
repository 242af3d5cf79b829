// One element of the products of plu.h, shared by the reference and the GPU.
#pragma once

#include <cmath>
#include <cstddef>

#include "kernels/plu.h"

namespace flowsmith::core {

/// s[i] = sign * exp(log_scale).
template <class S>
FLOWSMITH_HD double plu_scale(const PluParameters<S>& factors, int i) {
  return factors.sign[i] * std::exp(double(factors.log_scale[i]));
}

/// V[i][j] for j >= i.
template <class S>
FLOWSMITH_HD double plu_upper(const PluParameters<S>& factors, int i, int j, int c) {
  return i == j ? plu_scale(factors, i) : double(factors.upper[std::size_t(i) * c + j]);
}

/// L[i][j] for j <= i.
template <class S>
FLOWSMITH_HD double plu_lower(const PluParameters<S>& factors, int i, int j, int c) {
  return i == j ? 1 : double(factors.lower[std::size_t(i) * c + j]);
}

/// (L V)[i][j].
template <class S>
FLOWSMITH_HD double plu_product(const PluParameters<S>& factors, int i, int j, int c) {
  double sum = 0;
  for (int k = 0; k <= (i < j ? i : j); ++k) sum += plu_lower(factors, i, k, c) * plu_upper(factors, k, j, c);
  return sum;
}

/// (dA V^T)[i][j].
template <class S>
FLOWSMITH_HD double plu_lower_gradient(const PluParameters<S>& factors, const S* dweight, int i, int j, int c) {
  const S* row = dweight + std::size_t(factors.permutation[i]) * c;
  double sum = 0;
  for (int k = j; k < c; ++k) sum += double(row[k]) * plu_upper(factors, j, k, c);
  return sum;
}

/// dV[i][j] = (L^T dA)[i][j].
template <class S>
FLOWSMITH_HD double plu_upper_gradient(const PluParameters<S>& factors, const S* dweight, int i, int j, int c) {
  double sum = 0;
  for (int k = i; k < c; ++k) {
    sum += plu_lower(factors, k, i, c) * double(dweight[std::size_t(factors.permutation[k]) * c + j]);
  }
  return sum;
}

/// Writes the gradients of element (i, j) of L and U, and for i = j that of log_scale.
template <class S>
FLOWSMITH_HD void write_plu_gradients(const PluGradients<S>& gradients, const PluParameters<S>& factors,
                                      const S* dweight, int i, int j, int c) {
  const std::size_t at = std::size_t(i) * c + j;
  if (gradients.lower.data != nullptr) {
    gradients.lower.write(at, i > j ? S(plu_lower_gradient(factors, dweight, i, j, c)) : S(0));
  }
  if (gradients.upper.data != nullptr) {
    gradients.upper.write(at, i < j ? S(plu_upper_gradient(factors, dweight, i, j, c)) : S(0));
  }
  if (gradients.log_scale.data != nullptr && i == j) {
    gradients.log_scale.write(i, S(plu_upper_gradient(factors, dweight, i, i, c) * plu_scale(factors, i)));
  }
}

}  // namespace flowsmith::core
