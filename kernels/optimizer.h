// Adam (Kingma and Ba 2015, algorithm 1) and the global gradient norm (Pascanu et al. 2013), over one
// flat span of parameters.
#pragma once

#include "kernels/types.h"

namespace flowsmith {

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
};

/// sum of x^2 in double, in a fixed order: blocks of 4096 elements, summed in order of the blocks. It is
/// finite exactly if every element of x is (float squares cannot overflow a double).
template <class T>
double squared_norm(const T* x, std::size_t size, Reference);
double squared_norm(const float* x, std::size_t size, Cpu);
/// *result is the same in device memory; inside a block the order is another.
template <Gpu G>
void squared_norm(double* result, const float* x, std::size_t size, G gpu);

/// Factor that brings a gradient of norm `norm` down to `max_norm`: min(1, max_norm / (norm + 1e-6)).
/// max_norm <= 0 means no clipping.
double clip_factor(double norm, double max_norm);

/// One step, step = 1, 2, ...:  g = grad * grad_scale
///   m = beta1*m + (1-beta1)*g;   v = beta2*v + (1-beta2)*g^2
///   param -= lr/(1-beta1^step) * m / (sqrt(v/(1-beta2^step)) + eps)
/// All spans have `size` elements.
template <class T>
void adam_step(T* param, T* m, T* v, const T* grad, double grad_scale, std::int64_t step, AdamOptions options,
               std::size_t size, Reference);
void adam_step(float* param, float* m, float* v, const float* grad, double grad_scale, std::int64_t step,
               AdamOptions options, std::size_t size, Cpu);

/// What changes from step to step, in device memory: a captured graph keeps its arguments.
struct AdamInputs {
  AdamOptions options;
  std::int64_t step = 1;
  double max_norm = 0;  ///< as in clip_factor
};

/// One step with grad_scale = clip_factor(sqrt(*grad_squared_norm), max_norm). *steps_taken, 0 in the beginning,
/// becomes the step's number. Nothing is written if *loss or *grad_squared_norm is not finite, or if the step before
/// this one has not been taken: the host may put a step on its way before it knows how the last one went. Rounds as the
/// Reference does: in double, once per result.
template <Gpu G>
void adam_step(float* param, float* m, float* v, std::int64_t* steps_taken, const float* grad,
               const double* grad_squared_norm, const double* loss, const AdamInputs* inputs, std::size_t size, G gpu);

}  // namespace flowsmith
