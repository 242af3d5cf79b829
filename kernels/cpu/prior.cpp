// The standard normal prior and the split: images over threads. The constant of the density is added
// once per image; the squares are summed in double in the order of the elements.
#include "kernels/prior.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/prior_math.h"

namespace flowsmith::core {

template <class T>
void gaussian_log_density_forward(double* logp, const T* z, int n, std::size_t per_image, Cpu) {
#pragma omp parallel for schedule(static) if (worth_threads(n * per_image))
  for (int i = 0; i < n; ++i) {
    double sum = 0;
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) sum += double(z[j]) * z[j];
    logp[i] += standard_normal_log_density(sum, per_image);
  }
}

template <class T>
void gaussian_log_density_backward(Grad<T> dz, const double* dlogp, const T* z, int n, std::size_t per_image, Cpu) {
  if (!dz) return;
#pragma omp parallel for schedule(static) if (worth_threads(n * per_image))
  for (int i = 0; i < n; ++i) {
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) dz.write(j, T(-z[j] * dlogp[i]));
  }
}

template <class T>
void split_forward(T* kept, T* latent, double* logp, const T* z, MapShape shape, Cpu) {
  const int c = shape.c, c_latent = c / 2, c_kept = c - c_latent;
  const std::size_t pixels = shape.pixels();
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) {
    double sum = 0;
    for (std::size_t p = n * pixels; p < (n + 1) * pixels; ++p) {
      const T* first = z + p * c;
      const T* second = first + c_kept;
      std::copy(first, second, kept + p * c_kept);
      if (latent) std::copy(second, first + c, latent + p * c_latent);
      for (int k = 0; k < c_latent; ++k) sum += double(second[k]) * second[k];
    }
    logp[n] += standard_normal_log_density(sum, pixels * c_latent);
  }
}

template <class T>
void split_inverse(T* z, const T* kept, const T* latent, MapShape shape, Cpu) {
  const int c = shape.c, c_latent = c / 2, c_kept = c - c_latent;
  const std::size_t pixels = shape.pixels();
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) {
    for (std::size_t p = n * pixels; p < (n + 1) * pixels; ++p) {
      std::copy_n(kept + p * c_kept, c_kept, z + p * c);
      std::copy_n(latent + p * c_latent, c_latent, z + p * c + c_kept);
    }
  }
}

template <class T>
void split_backward(Grad<T> dz, const T* dkept, const double* dlogp, const T* z, MapShape shape, Cpu) {
  if (!dz) return;
  const int c = shape.c, c_kept = c - c / 2;
  const std::size_t pixels = shape.pixels();
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) {
    for (std::size_t p = n * pixels; p < (n + 1) * pixels; ++p) {
      for (int k = 0; k < c_kept; ++k) dz.write(p * c + k, dkept[p * c_kept + k]);
      for (int k = c_kept; k < c; ++k) dz.write(p * c + k, T(-z[p * c + k] * dlogp[n]));
    }
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                                        \
  template void gaussian_log_density_forward(double*, const T*, int, std::size_t, Cpu);                 \
  template void gaussian_log_density_backward(Grad<T>, const double*, const T*, int, std::size_t, Cpu); \
  template void split_forward(T*, T*, double*, const T*, MapShape, Cpu);                                \
  template void split_inverse(T*, const T*, const T*, MapShape, Cpu);                                   \
  template void split_backward(Grad<T>, const T*, const double*, const T*, MapShape, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
