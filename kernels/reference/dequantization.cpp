// Dequantization, logit and sigmoid: one element at a time, log-determinants summed in double.
#include "kernels/dequantization.h"

#include "kernels/dequantization_math.h"

namespace flowsmith::core {

template <class T>
void dequantize_forward(T* z, double* logdet, const std::uint8_t* image, const T* u, int n, std::size_t per_image,
                        Dequantizer dequantizer, Reference) {
  const DequantizerTerms<T> terms(dequantizer);
  for (int i = 0; i < n; ++i) {
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) {
      const Logit<T> l = logit(squeeze_pixel(image[j], u[j], terms), terms);
      z[j] = l.value;
      logdet[i] += l.log_derivative - terms.log_levels;
    }
  }
}

template <class T>
void noisy_dequantize_forward(T* z, double* logdet, const std::uint8_t* image, const std::uint32_t* index,
                              const NoiseStream* stream, int n, std::size_t per_image, Dequantizer dequantizer,
                              Reference reference) {
  uniform_noise(z, index, stream, n, per_image, reference);
  dequantize_forward(z, logdet, image, z, n, per_image, dequantizer, reference);
}

template <class T>
void dequantize_inverse(std::uint8_t* image, const T* z, int n, std::size_t per_image, Dequantizer dequantizer,
                        Reference) {
  for (std::size_t j = 0; j < n * per_image; ++j) image[j] = pixel_of(z[j], dequantizer);
}

template <class T>
void dequantize_backward(Grad<T> du, const T* dz, const double* dlogdet, const std::uint8_t* image, const T* u, int n,
                         std::size_t per_image, Dequantizer dequantizer, Reference) {
  if (!du) return;
  const DequantizerTerms<T> terms(dequantizer);
  for (int i = 0; i < n; ++i) {
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) {
      const SqueezedUnit<T> unit = squeeze_pixel(image[j], u[j], terms);
      const T dlogit = terms.slope_of_u / (unit.p * unit.q);
      du.write(j, (dz[j] + T(dlogdet[i]) * (unit.p - unit.q)) * dlogit);
    }
  }
}

template <class T>
void logit_forward(T* v, double* logdet, const T* u, int n, std::size_t per_image, Dequantizer dequantizer, Reference) {
  const DequantizerTerms<T> terms(dequantizer);
  for (int i = 0; i < n; ++i) {
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) {
      const Logit<T> l = logit(squeeze_unit(u[j], T(1) - u[j], terms), terms);
      v[j] = l.value;
      logdet[i] += l.log_derivative;
    }
  }
}

template <class T>
void noisy_logit_forward(T* v, double* logdet, const std::uint32_t* index, const NoiseStream* stream, int n,
                         std::size_t per_image, Dequantizer dequantizer, Reference reference) {
  uniform_noise(v, index, stream, n, per_image, reference);
  logit_forward(v, logdet, v, n, per_image, dequantizer, reference);
}

template <class T>
void sigmoid_forward(T* u, double* logdet, const T* v, int n, std::size_t per_image, double alpha, Reference) {
  for (int i = 0; i < n; ++i) {
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) {
      u[j] = noise_from(open_sigmoid(v[j]), alpha);
      logdet[i] += log_sigmoid_derivative(v[j]) - std::log1p(-alpha);
    }
  }
}

template <class T>
void sigmoid_backward(Grad<T> dv, const T* du, const double* dlogdet, const T* v, int n, std::size_t per_image,
                      double alpha, Reference) {
  if (!dv) return;
  for (int i = 0; i < n; ++i) {
    for (std::size_t j = i * per_image; j < (i + 1) * per_image; ++j) {
      const T p = sigmoid(v[j]);
      const T q = sigmoid(-v[j]);
      dv.write(j, du[j] / T(1 - alpha) * p * q + T(dlogdet[i]) * (q - p));
    }
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                                                       \
  template void dequantize_forward(T*, double*, const std::uint8_t*, const T*, int, std::size_t, Dequantizer,          \
                                   Reference);                                                                         \
  template void noisy_dequantize_forward(T*, double*, const std::uint8_t*, const std::uint32_t*, const NoiseStream*,   \
                                         int, std::size_t, Dequantizer, Reference);                                    \
  template void dequantize_inverse(std::uint8_t*, const T*, int, std::size_t, Dequantizer, Reference);                 \
  template void dequantize_backward(Grad<T>, const T*, const double*, const std::uint8_t*, const T*, int, std::size_t, \
                                    Dequantizer, Reference);                                                           \
  template void logit_forward(T*, double*, const T*, int, std::size_t, Dequantizer, Reference);                        \
  template void noisy_logit_forward(T*, double*, const std::uint32_t*, const NoiseStream*, int, std::size_t,           \
                                    Dequantizer, Reference);                                                           \
  template void sigmoid_forward(T*, double*, const T*, int, std::size_t, double, Reference);                           \
  template void sigmoid_backward(Grad<T>, const T*, const double*, const T*, int, std::size_t, double, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
