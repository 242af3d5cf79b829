// A log-determinant that is the same for every image of a batch, because the Jacobian holds nothing but weights: one
// term for each of some channels or matrices, times the number of pixels at which they act.
//
//   logdet[i] += factor * sum over k of terms[k]
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

/// Shapes: logdet (n), terms (count). The sum is double.
template <class T>
void shared_logdet_forward(double* logdet, const T* terms, double factor, int count, int n, Reference);
template <class T>
void shared_logdet_forward(double* logdet, const T* terms, double factor, int count, int n, Cpu);
template <class T, Gpu G>
void shared_logdet_forward(double* logdet, const T* terms, double factor, int count, int n, G gpu);

/// dterms[k] = factor * sum over i of dlogdet[i].
template <class T>
void shared_logdet_backward(Grad<T> dterms, const double* dlogdet, double factor, int count, int n, Reference);
template <class T>
void shared_logdet_backward(Grad<T> dterms, const double* dlogdet, double factor, int count, int n, Cpu);
template <class T, Gpu G>
void shared_logdet_backward(Grad<T> dterms, const double* dlogdet, double factor, int count, int n, G gpu);

}  // namespace flowsmith::core
