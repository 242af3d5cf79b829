// Adam and the squared norm: the formulas of optimizer.h, evaluated in double.
#include "kernels/optimizer.h"

#include <algorithm>

#include "kernels/optimizer_math.h"

namespace flowsmith {

template <class T>
double squared_norm(const T* x, std::size_t size, Reference) {
  constexpr std::size_t kBlock = 4096;
  double total = 0;
  for (std::size_t begin = 0; begin < size; begin += kBlock) {
    double sum = 0;
    for (std::size_t i = begin; i < std::min(begin + kBlock, size); ++i) sum += double(x[i]) * x[i];
    total += sum;
  }
  return total;
}

template <class T>
void adam_step(T* param, T* m, T* v, const T* grad, double grad_scale, std::int64_t step, AdamOptions options,
               std::size_t size, Reference) {
  const AdamRates rates = adam_rates(options, step);
  for (std::size_t i = 0; i < size; ++i) adam_update(param[i], m[i], v[i], grad[i] * grad_scale, rates);
}

#define FLOWSMITH_INSTANTIATE(T)                                  \
  template double squared_norm(const T*, std::size_t, Reference); \
  template void adam_step(T*, T*, T*, const T*, double, std::int64_t, AdamOptions, std::size_t, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith
