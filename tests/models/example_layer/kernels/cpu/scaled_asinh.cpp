// The scaled asinh: images over threads, each of which has one owner, so the sums have one order at any number of them.
#include "tests/models/example_layer/kernels/scaled_asinh.h"

#include <cmath>

#include "kernels/cpu/parallel.h"

namespace flowsmith::core {

template <class T>
void scaled_asinh_forward(T* z, double* logdet, const T* x, double a, int n, std::size_t per_image, Cpu) {
#pragma omp parallel for schedule(static) if (worth_threads(n * per_image))
  for (int i = 0; i < n; ++i) {
    double sum = 0;
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) {
      const double u = x[j] / a;
      z[j] = T(a * std::asinh(u));
      sum += std::log1p(u * u);
    }
    logdet[i] -= sum / 2;
  }
}

template <class T>
void scaled_asinh_inverse(T* x, double* logdet, const T* z, double a, int n, std::size_t per_image, Cpu) {
#pragma omp parallel for schedule(static) if (worth_threads(n * per_image))
  for (int i = 0; i < n; ++i) {
    double sum = 0;
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) {
      const double u = std::sinh(z[j] / a);
      x[j] = T(a * u);
      sum += std::log1p(u * u);
    }
    if (logdet) logdet[i] += sum / 2;
  }
}

template <class T>
void scaled_asinh_backward(Grad<T> dx, const T* dz, const double* dlogdet, const T* x, double a, int n,
                           std::size_t per_image, Cpu) {
  if (!dx) return;
#pragma omp parallel for schedule(static) if (worth_threads(n * per_image))
  for (int i = 0; i < n; ++i) {
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) {
      const double u = x[j] / a, w = 1 + u * u;
      dx.write(j, T(dz[j] / std::sqrt(w) - dlogdet[i] * u / (a * w)));
    }
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                            \
  template void scaled_asinh_forward(T*, double*, const T*, double, int, std::size_t, Cpu); \
  template void scaled_asinh_inverse(T*, double*, const T*, double, int, std::size_t, Cpu); \
  template void scaled_asinh_backward(Grad<T>, const T*, const double*, const T*, double, int, std::size_t, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
