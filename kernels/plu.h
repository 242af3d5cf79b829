// A square matrix from its LU factors (Glow, Kingma and Dhariwal 2018, equation 10): its log-determinant is a sum.
//
//   W = P L V, V = U + diag(s), s = sign * exp(log_scale), log|det W| = sum of log_scale
//
// P is fixed: row i of L V is row permutation[i] of W. L has ones on its diagonal and U zeros; what `lower` holds on
// and above the diagonal, and `upper` on and below it, is not read. Sums are double, W is rounded once.
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

/// The factors of W. Shapes: permutation, log_scale, sign (c); lower, upper (c,c).
template <class S>
struct PluParameters {
  const std::uint32_t* permutation = nullptr;
  const S* lower = nullptr;
  const S* upper = nullptr;
  const S* log_scale = nullptr;
  const S* sign = nullptr;
};

/// Where the gradients of what is learned go. What is not learned of lower and upper gets the gradient 0.
template <class S>
struct PluGradients {
  Grad<S> lower, upper, log_scale;

  explicit operator bool() const { return lower || upper || log_scale; }
};

/// weight (c,c).
template <class S>
void compose_plu_forward(S* weight, PluParameters<S> factors, int c, Reference);
void compose_plu_forward(float* weight, PluParameters<float> factors, int c, Cpu);
template <Gpu G>
void compose_plu_forward(float* weight, PluParameters<float> factors, int c, G gpu);

/// With dA = P^T dW (row i is row permutation[i] of dW) and dV = L^T dA:
///   dlower = dA V^T below the diagonal, dupper = dV above it, dlog_scale[i] = dV[i][i] * s[i]
template <class S>
void compose_plu_backward(PluGradients<S> gradients, const S* dweight, PluParameters<S> factors, int c, Reference);
void compose_plu_backward(PluGradients<float> gradients, const float* dweight, PluParameters<float> factors, int c,
                          Cpu);
template <Gpu G>
void compose_plu_backward(PluGradients<float> gradients, const float* dweight, PluParameters<float> factors, int c,
                          G gpu);

}  // namespace flowsmith::core
