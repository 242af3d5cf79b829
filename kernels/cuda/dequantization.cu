// Dequantization, logit and sigmoid on the GPU, alone or with the noise drawn on the way.
//
//   z = logit((q + u) / L), v = logit(u), u = sigmoid(v), their log-determinants, gradients and inverses:
//   kernels/dequantization.h. Formulas per element: dequantization_math.h.
//
// Memory plan: what sums a log-determinant has one block per image, whose threads take groups of four neighbours (one
// Philox counter, 16 bytes of float, 4 bytes of pixels) in turn, add up their part in double, and meet in one
// block_sum; thread 0 adds it to logdet. Gradients and the inverse have a thread per group.
// noisy_* are the same kernels with another source of u: u is never in memory, and all bits agree with the two passes.
//
// Floor, per element: dequantize_forward reads u and a pixel, writes z: 2.25 f, noisy: 1.25 f; two logarithms, 10
// FLOPs. inverse 1.25 f, one exp in double; backward 3.25 f; logit and sigmoid forward 2 f (noisy_logit 1 f), backward
// 3 f. A batch of 128 MNIST images is 100352 elements: 0.5 MB for noisy_dequantize_forward, 0.2 us at 3 TB/s. The
// launch and the latency of one trip to memory cost more, so what counts is the number of launches.
#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/noise_groups.h"
#include "kernels/cuda/vector.h"
#include "kernels/dequantization.h"
#include "kernels/dequantization_math.h"

namespace flowsmith::core {
namespace {

/// u as an earlier kernel left it.
template <class T>
struct StoredNoise {
  const T* u;

  __device__ cuda::Four<T> operator()(unsigned image, unsigned group, unsigned per_image) const {
    return cuda::load_four(u + std::size_t(image) * per_image, 4 * std::size_t(group), per_image);
  }
};

/// u as uniform_noise would write it.
template <class T>
struct DrawnNoise {
  const std::uint32_t* index;
  const NoiseStream* stream;

  __device__ cuda::Four<T> operator()(unsigned image, unsigned group, unsigned) const {
    return cuda::uniform_four<T>(*stream, index[image], group);
  }
};

/// logdet[image] += the sum over the block of `part` and of `constant`, which only one thread adds.
__device__ void add_to_logdet(double* logdet, double part, double constant) {
  const double sum = cuda::block_sum(part);
  if (threadIdx.x == 0) logdet[blockIdx.x] += sum + constant;
}

template <class T, class Noise>
__global__ void dequantize_forward_kernel(T* z, double* logdet, const std::uint8_t* image, Noise noise,
                                          DequantizerTerms<T> terms, unsigned per_image) {
  const std::size_t row = std::size_t(blockIdx.x) * per_image;
  double sum = 0;
  cuda::for_each_item(cuda::groups_of_four(per_image), [&](unsigned group) {
    const std::size_t first = 4 * std::size_t(group);
    const cuda::Four<T> u = noise(blockIdx.x, group, per_image);
    const cuda::Four<std::uint8_t> pixel = cuda::load_four(image + row, first, per_image);
    cuda::Four<T> value;
    for (int i = 0; i < 4; ++i) {
      const Logit<T> l = logit(squeeze_pixel(pixel[i], u[i], terms), terms);
      value[i] = l.value;
      if (first + i < per_image) sum += l.log_derivative;
    }
    cuda::store_four(z + row, first, per_image, value);
  });
  add_to_logdet(logdet, sum, -double(per_image) * terms.log_levels);
}

template <class T>
__global__ void dequantize_inverse_kernel(std::uint8_t* image, const T* z, Dequantizer dequantizer, std::size_t size) {
  const std::size_t first = 4 * cuda::flat_item();
  if (first >= size) return;
  const cuda::Four<T> value = cuda::load_four(z, first, size);
  cuda::Four<std::uint8_t> pixel;
  for (int i = 0; i < 4; ++i) pixel[i] = pixel_of(value[i], dequantizer);
  cuda::store_four(image, first, size, pixel);
}

template <class T>
__global__ void dequantize_backward_kernel(Grad<T> du, const T* dz, const double* dlogdet, const std::uint8_t* image,
                                           const T* u, DequantizerTerms<T> terms, unsigned per_image) {
  const std::size_t row = std::size_t(blockIdx.x) * per_image;
  const T dl = T(dlogdet[blockIdx.x]);
  cuda::for_each_item(cuda::groups_of_four(per_image), [&](unsigned group) {
    const std::size_t first = 4 * std::size_t(group);
    const cuda::Four<T> noise = cuda::load_four(u + row, first, per_image);
    const cuda::Four<T> dvalue = cuda::load_four(dz + row, first, per_image);
    const cuda::Four<std::uint8_t> pixel = cuda::load_four(image + row, first, per_image);
    cuda::Four<T> result;
    for (int i = 0; i < 4; ++i) {
      const SqueezedUnit<T> unit = squeeze_pixel(pixel[i], noise[i], terms);
      const T dlogit = terms.slope_of_u / (unit.p * unit.q);
      result[i] = (dvalue[i] + dl * (unit.p - unit.q)) * dlogit;
    }
    cuda::write_four(Grad<T>{du.data + row, du.mode}, first, per_image, result);
  });
}

template <class T, class Noise>
__global__ void logit_forward_kernel(T* v, double* logdet, Noise noise, DequantizerTerms<T> terms, unsigned per_image) {
  const std::size_t row = std::size_t(blockIdx.x) * per_image;
  double sum = 0;
  cuda::for_each_item(cuda::groups_of_four(per_image), [&](unsigned group) {
    const std::size_t first = 4 * std::size_t(group);
    const cuda::Four<T> u = noise(blockIdx.x, group, per_image);
    cuda::Four<T> value;
    for (int i = 0; i < 4; ++i) {
      const Logit<T> l = logit(squeeze_unit(u[i], T(1) - u[i], terms), terms);
      value[i] = l.value;
      if (first + i < per_image) sum += l.log_derivative;
    }
    cuda::store_four(v + row, first, per_image, value);
  });
  add_to_logdet(logdet, sum, 0);
}

template <class T>
__global__ void sigmoid_forward_kernel(T* u, double* logdet, const T* v, unsigned per_image, double alpha,
                                       double constant) {
  const std::size_t row = std::size_t(blockIdx.x) * per_image;
  double sum = 0;
  cuda::for_each_item(cuda::groups_of_four(per_image), [&](unsigned group) {
    const std::size_t first = 4 * std::size_t(group);
    const cuda::Four<T> in = cuda::load_four(v + row, first, per_image);
    cuda::Four<T> value;
    for (int i = 0; i < 4; ++i) {
      value[i] = noise_from(open_sigmoid(in[i]), alpha);
      if (first + i < per_image) sum += log_sigmoid_derivative(in[i]);
    }
    cuda::store_four(u + row, first, per_image, value);
  });
  add_to_logdet(logdet, sum, constant);
}

template <class T>
__global__ void sigmoid_backward_kernel(Grad<T> dv, const T* du, const double* dlogdet, const T* v, unsigned per_image,
                                        double alpha) {
  const std::size_t row = std::size_t(blockIdx.x) * per_image;
  const T dl = T(dlogdet[blockIdx.x]);
  cuda::for_each_item(cuda::groups_of_four(per_image), [&](unsigned group) {
    const std::size_t first = 4 * std::size_t(group);
    const cuda::Four<T> in = cuda::load_four(v + row, first, per_image);
    const cuda::Four<T> dvalue = cuda::load_four(du + row, first, per_image);
    cuda::Four<T> result;
    for (int i = 0; i < 4; ++i) {
      const T p = sigmoid(in[i]);
      const T q = sigmoid(-in[i]);
      result[i] = dvalue[i] / T(1 - alpha) * p * q + dl * (q - p);
    }
    cuda::write_four(Grad<T>{dv.data + row, dv.mode}, first, per_image, result);
  });
}

template <class T, class Noise, Gpu G>
void launch_dequantize(T* z, double* logdet, const std::uint8_t* image, Noise noise, int n, std::size_t per_image,
                       Dequantizer dequantizer, G gpu) {
  if (n == 0) return;
  FLOWSMITH_LAUNCH((dequantize_forward_kernel<T, Noise>), cuda::one_block_per_image(n), cuda::kBlockThreads, 0, gpu, z,
                   logdet, image, noise, DequantizerTerms<T>(dequantizer), cuda::image_elements(per_image));
}

template <class T, class Noise, Gpu G>
void launch_logit(T* v, double* logdet, Noise noise, int n, std::size_t per_image, Dequantizer dequantizer, G gpu) {
  if (n == 0) return;
  FLOWSMITH_LAUNCH((logit_forward_kernel<T, Noise>), cuda::one_block_per_image(n), cuda::kBlockThreads, 0, gpu, v,
                   logdet, noise, DequantizerTerms<T>(dequantizer), cuda::image_elements(per_image));
}

}  // namespace

template <class T, Gpu G>
void dequantize_forward(T* z, double* logdet, const std::uint8_t* image, const T* u, int n, std::size_t per_image,
                        Dequantizer dequantizer, G gpu) {
  launch_dequantize(z, logdet, image, StoredNoise<T>{u}, n, per_image, dequantizer, gpu);
}

template <class T, Gpu G>
void noisy_dequantize_forward(T* z, double* logdet, const std::uint8_t* image, const std::uint32_t* index,
                              const NoiseStream* stream, int n, std::size_t per_image, Dequantizer dequantizer, G gpu) {
  launch_dequantize(z, logdet, image, DrawnNoise<T>{index, stream}, n, per_image, dequantizer, gpu);
}

template <class T, Gpu G>
void dequantize_inverse(std::uint8_t* image, const T* z, int n, std::size_t per_image, Dequantizer dequantizer, G gpu) {
  const std::size_t size = n * per_image;
  if (size == 0) return;
  FLOWSMITH_LAUNCH(dequantize_inverse_kernel<T>, cuda::flat_grid((size + 3) / 4), cuda::kBlockThreads, 0, gpu, image, z,
                   dequantizer, size);
}

template <class T, Gpu G>
void dequantize_backward(Grad<T> du, const T* dz, const double* dlogdet, const std::uint8_t* image, const T* u, int n,
                         std::size_t per_image, Dequantizer dequantizer, G gpu) {
  if (!du || n == 0) return;
  const unsigned elements = cuda::image_elements(per_image);
  FLOWSMITH_LAUNCH(dequantize_backward_kernel<T>, cuda::image_grid(n, cuda::groups_of_four(elements)),
                   cuda::kBlockThreads, 0, gpu, du, dz, dlogdet, image, u, DequantizerTerms<T>(dequantizer), elements);
}

template <class T, Gpu G>
void logit_forward(T* v, double* logdet, const T* u, int n, std::size_t per_image, Dequantizer dequantizer, G gpu) {
  launch_logit(v, logdet, StoredNoise<T>{u}, n, per_image, dequantizer, gpu);
}

template <class T, Gpu G>
void noisy_logit_forward(T* v, double* logdet, const std::uint32_t* index, const NoiseStream* stream, int n,
                         std::size_t per_image, Dequantizer dequantizer, G gpu) {
  launch_logit(v, logdet, DrawnNoise<T>{index, stream}, n, per_image, dequantizer, gpu);
}

template <class T, Gpu G>
void sigmoid_forward(T* u, double* logdet, const T* v, int n, std::size_t per_image, double alpha, G gpu) {
  if (n == 0) return;
  FLOWSMITH_LAUNCH(sigmoid_forward_kernel<T>, cuda::one_block_per_image(n), cuda::kBlockThreads, 0, gpu, u, logdet, v,
                   cuda::image_elements(per_image), alpha, -double(per_image) * std::log1p(-alpha));
}

template <class T, Gpu G>
void sigmoid_backward(Grad<T> dv, const T* du, const double* dlogdet, const T* v, int n, std::size_t per_image,
                      double alpha, G gpu) {
  if (!dv || n == 0) return;
  const unsigned elements = cuda::image_elements(per_image);
  FLOWSMITH_LAUNCH(sigmoid_backward_kernel<T>, cuda::image_grid(n, cuda::groups_of_four(elements)), cuda::kBlockThreads,
                   0, gpu, dv, du, dlogdet, v, elements, alpha);
}

#define FLOWSMITH_INSTANTIATE(T)                                                                                       \
  template void dequantize_forward(T*, double*, const std::uint8_t*, const T*, int, std::size_t, Dequantizer,          \
                                   ThisGpu);                                                                           \
  template void noisy_dequantize_forward(T*, double*, const std::uint8_t*, const std::uint32_t*, const NoiseStream*,   \
                                         int, std::size_t, Dequantizer, ThisGpu);                                      \
  template void dequantize_inverse(std::uint8_t*, const T*, int, std::size_t, Dequantizer, ThisGpu);                   \
  template void dequantize_backward(Grad<T>, const T*, const double*, const std::uint8_t*, const T*, int, std::size_t, \
                                    Dequantizer, ThisGpu);                                                             \
  template void logit_forward(T*, double*, const T*, int, std::size_t, Dequantizer, ThisGpu);                          \
  template void noisy_logit_forward(T*, double*, const std::uint32_t*, const NoiseStream*, int, std::size_t,           \
                                    Dequantizer, ThisGpu);                                                             \
  template void sigmoid_forward(T*, double*, const T*, int, std::size_t, double, ThisGpu);                             \
  template void sigmoid_backward(Grad<T>, const T*, const double*, const T*, int, std::size_t, double, ThisGpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
