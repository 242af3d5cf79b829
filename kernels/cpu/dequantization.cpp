// Dequantization, logit and sigmoid: images over threads, the log-determinant of an image summed in
// double in the order of its elements.
#include "kernels/dequantization.h"

#include "kernels/cpu/parallel.h"
#include "kernels/dequantization_math.h"

namespace flowsmith::core {

template <class T>
void dequantize_forward(T* z, double* logdet, const std::uint8_t* image, const T* u, int n, std::size_t per_image,
                        Dequantizer dequantizer, Cpu) {
  const DequantizerTerms<T> terms(dequantizer);
#pragma omp parallel for schedule(static) if (worth_threads(n * per_image))
  for (int i = 0; i < n; ++i) {
    double sum = -double(per_image) * terms.log_levels;
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) {
      const Logit<T> l = logit(squeeze_pixel(image[j], u[j], terms), terms);
      z[j] = l.value;
      sum += l.log_derivative;
    }
    logdet[i] += sum;
  }
}

template <class T>
void noisy_dequantize_forward(T* z, double* logdet, const std::uint8_t* image, const std::uint32_t* index,
                              const NoiseStream* stream, int n, std::size_t per_image, Dequantizer dequantizer,
                              Cpu cpu) {
  uniform_noise(z, index, stream, n, per_image, cpu);
  dequantize_forward(z, logdet, image, z, n, per_image, dequantizer, cpu);
}

template <class T>
void dequantize_inverse(std::uint8_t* image, const T* z, int n, std::size_t per_image, Dequantizer dequantizer, Cpu) {
#pragma omp parallel for schedule(static) if (worth_threads(n * per_image))
  for (int i = 0; i < n; ++i) {
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) image[j] = pixel_of(z[j], dequantizer);
  }
}

template <class T>
void dequantize_backward(Grad<T> du, const T* dz, const double* dlogdet, const std::uint8_t* image, const T* u, int n,
                         std::size_t per_image, Dequantizer dequantizer, Cpu) {
  if (!du) return;
  const DequantizerTerms<T> terms(dequantizer);
#pragma omp parallel for schedule(static) if (worth_threads(n * per_image))
  for (int i = 0; i < n; ++i) {
    const T dl = T(dlogdet[i]);
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) {
      const SqueezedUnit<T> unit = squeeze_pixel(image[j], u[j], terms);
      const T dlogit = terms.slope_of_u / (unit.p * unit.q);
      du.write(j, (dz[j] + dl * (unit.p - unit.q)) * dlogit);
    }
  }
}

template <class T>
void logit_forward(T* v, double* logdet, const T* u, int n, std::size_t per_image, Dequantizer dequantizer, Cpu) {
  const DequantizerTerms<T> terms(dequantizer);
#pragma omp parallel for schedule(static) if (worth_threads(n * per_image))
  for (int i = 0; i < n; ++i) {
    double sum = 0;
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) {
      const Logit<T> l = logit(squeeze_unit(u[j], T(1) - u[j], terms), terms);
      v[j] = l.value;
      sum += l.log_derivative;
    }
    logdet[i] += sum;
  }
}

template <class T>
void noisy_logit_forward(T* v, double* logdet, const std::uint32_t* index, const NoiseStream* stream, int n,
                         std::size_t per_image, Dequantizer dequantizer, Cpu cpu) {
  uniform_noise(v, index, stream, n, per_image, cpu);
  logit_forward(v, logdet, v, n, per_image, dequantizer, cpu);
}

template <class T>
void sigmoid_forward(T* u, double* logdet, const T* v, int n, std::size_t per_image, double alpha, Cpu) {
#pragma omp parallel for schedule(static) if (worth_threads(n * per_image))
  for (int i = 0; i < n; ++i) {
    double sum = -double(per_image) * std::log1p(-alpha);
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) {
      u[j] = noise_from(open_sigmoid(v[j]), alpha);
      sum += log_sigmoid_derivative(v[j]);
    }
    logdet[i] += sum;
  }
}

template <class T>
void sigmoid_backward(Grad<T> dv, const T* du, const double* dlogdet, const T* v, int n, std::size_t per_image,
                      double alpha, Cpu) {
  if (!dv) return;
#pragma omp parallel for schedule(static) if (worth_threads(n * per_image))
  for (int i = 0; i < n; ++i) {
    const T dl = T(dlogdet[i]);
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) {
      const T p = sigmoid(v[j]);
      const T q = sigmoid(-v[j]);
      dv.write(j, du[j] / T(1 - alpha) * p * q + dl * (q - p));
    }
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                                                       \
  template void dequantize_forward(T*, double*, const std::uint8_t*, const T*, int, std::size_t, Dequantizer, Cpu);    \
  template void noisy_dequantize_forward(T*, double*, const std::uint8_t*, const std::uint32_t*, const NoiseStream*,   \
                                         int, std::size_t, Dequantizer, Cpu);                                          \
  template void dequantize_inverse(std::uint8_t*, const T*, int, std::size_t, Dequantizer, Cpu);                       \
  template void dequantize_backward(Grad<T>, const T*, const double*, const std::uint8_t*, const T*, int, std::size_t, \
                                    Dequantizer, Cpu);                                                                 \
  template void logit_forward(T*, double*, const T*, int, std::size_t, Dequantizer, Cpu);                              \
  template void noisy_logit_forward(T*, double*, const std::uint32_t*, const NoiseStream*, int, std::size_t,           \
                                    Dequantizer, Cpu);                                                                 \
  template void sigmoid_forward(T*, double*, const T*, int, std::size_t, double, Cpu);                                 \
  template void sigmoid_backward(Grad<T>, const T*, const double*, const T*, int, std::size_t, double, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
