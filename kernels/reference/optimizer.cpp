// Adam and the squared norm: the formulas of optimizer.h, evaluated in double.
#include "kernels/optimizer.h"

#include <algorithm>

#include "kernels/optimizer_math.h"

namespace flowsmith::core {

template <class T>
void squared_norm(double* result, const T* x, std::size_t size, Reference) {
  constexpr std::size_t kBlock = 4096;
  double total = 0;
  for (std::size_t begin = 0; begin < size; begin += kBlock) {
    double sum = 0;
    for (std::size_t i = begin; i < std::min(begin + kBlock, size); ++i) sum += double(x[i]) * x[i];
    total += sum;
  }
  *result = total;
}

template <class T>
void adam_step(T* param, T* m, T* v, std::int64_t* steps_taken, const T* grad, const double* grad_squared_norm,
               const double* loss, const AdamInputs* inputs, std::size_t size, Reference) {
  if (!admit_step(steps_taken, *grad_squared_norm, *loss, inputs->step)) return;
  const AdamRates rates = adam_rates(inputs->options, inputs->step);
  const double grad_scale = clip_factor(std::sqrt(*grad_squared_norm), inputs->max_norm);
  for (std::size_t i = 0; i < size; ++i) adam_update(param[i], m[i], v[i], grad[i] * grad_scale, rates);
}

#define FLOWSMITH_INSTANTIATE(T)                                                                                \
  template void squared_norm(double*, const T*, std::size_t, Reference);                                        \
  template void adam_step(T*, T*, T*, std::int64_t*, const T*, const double*, const double*, const AdamInputs*, \
                          std::size_t, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
