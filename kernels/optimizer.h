// Adam (Kingma and Ba 2015, algorithm 1) and the global gradient norm (Pascanu et al. 2013), over one
// flat span of parameters.
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
};

/// *result = sum of x^2 in double, in a fixed order: blocks of 4096 elements, summed in order of the blocks; inside a
/// block the order is the backend's. It is finite exactly if every element of x is (float squares cannot overflow a
/// double).
template <class T>
void squared_norm(double* result, const T* x, std::size_t size, Reference);
void squared_norm(double* result, const float* x, std::size_t size, Cpu);
template <Gpu G>
void squared_norm(double* result, const float* x, std::size_t size, G gpu);

/// What changes from step to step, in the memory of the backend: a captured graph keeps its arguments.
struct AdamInputs {
  AdamOptions options;
  std::int64_t step = 1;  ///< 1, 2, ...
  double max_norm = 0;    ///< of the gradient; <= 0: no clipping
};

/// One step:  g = grad * min(1, max_norm / (sqrt(*grad_squared_norm) + 1e-6))
///   m = beta1*m + (1-beta1)*g;   v = beta2*v + (1-beta2)*g^2
///   param -= lr/(1-beta1^step) * m / (sqrt(v/(1-beta2^step)) + eps)
/// Moments smaller than the smallest normal number become 0. Those of a unit that is off for good fade by beta in each
/// step, and a CPU takes a hundred times as long for numbers below that.
/// *steps_taken, 0 in the beginning, becomes the step's number. Nothing is written if *loss or *grad_squared_norm is
/// not finite, or if the step before this one has not been taken: the host may put a step on its way before it knows
/// how the last one went. All spans have `size` elements.
template <class T>
void adam_step(T* param, T* m, T* v, std::int64_t* steps_taken, const T* grad, const double* grad_squared_norm,
               const double* loss, const AdamInputs* inputs, std::size_t size, Reference);
void adam_step(float* param, float* m, float* v, std::int64_t* steps_taken, const float* grad,
               const double* grad_squared_norm, const double* loss, const AdamInputs* inputs, std::size_t size, Cpu);
/// Rounds as the Reference does: in double, once per result.
template <Gpu G>
void adam_step(float* param, float* m, float* v, std::int64_t* steps_taken, const float* grad,
               const double* grad_squared_norm, const double* loss, const AdamInputs* inputs, std::size_t size, G gpu);

}  // namespace flowsmith::core
