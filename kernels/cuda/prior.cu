// The standard normal prior and the split on the GPU.
//
//   logp += -z^2/2 - log(2 pi)/2 over the elements of an image; kept and latent are the two halves of the channels:
//   kernels/prior.h
//
// Memory plan: what sums a log-density has one block per image; squares are summed in double, thread by thread, then by
// block_sum, and the constant is added once. The split copies its halves on the way, so z is read once. Gradients and
// the inverse have a thread per element of what they write, or per four where all of a row is treated alike.
//
// Floor: gaussian_log_density forward PC f, backward 2 PC f; split forward 2 PC f (1.5 without the latent), inverse
// 2 PC f, backward 2 PC f (dkept, half of z, dz). 2 FLOPs per element in double. 128 MNIST images: 0.4 to 0.8 MB,
// 0.3 us at 3 TB/s: launches and latency rule.
#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/vector.h"
#include "kernels/prior.h"
#include "kernels/prior_math.h"

namespace flowsmith::core {
namespace {

/// logp[image] += the density of `elements` numbers; the threads hold parts of the sum of their squares.
__device__ void add_log_density(double* logp, double squares, std::size_t elements) {
  const double sum = cuda::block_sum(squares);
  if (threadIdx.x == 0) logp[blockIdx.x] += standard_normal_log_density(sum, elements);
}

template <class T>
__global__ void gaussian_log_density_forward_kernel(double* logp, const T* z, unsigned per_image) {
  const T* row = z + std::size_t(blockIdx.x) * per_image;
  double sum = 0;
  cuda::for_each_item(cuda::groups_of_four(per_image), [&](unsigned group) {
    const cuda::Four<T> four = cuda::load_four(row, 4 * std::size_t(group), per_image);
    for (int i = 0; i < 4; ++i) sum += double(four[i]) * double(four[i]);
  });
  add_log_density(logp, sum, per_image);
}

template <class T>
__global__ void gaussian_log_density_backward_kernel(Grad<T> dz, const double* dlogp, const T* z, unsigned per_image) {
  const std::size_t row = std::size_t(blockIdx.x) * per_image;
  const double d = dlogp[blockIdx.x];
  cuda::for_each_item(cuda::groups_of_four(per_image), [&](unsigned group) {
    cuda::Four<T> four = cuda::load_four(z + row, 4 * std::size_t(group), per_image);
    for (int i = 0; i < 4; ++i) four[i] = T(-four[i] * d);
    cuda::write_four(Grad<T>{dz.data + row, dz.mode}, 4 * std::size_t(group), per_image, four);
  });
}

/// `latent` may be null.
template <class T>
__global__ void split_forward_kernel(T* kept, T* latent, double* logp, const T* z, unsigned pixels, int c) {
  const int c_latent = c / 2, c_kept = c - c_latent;
  const std::size_t before = std::size_t(blockIdx.x) * pixels;
  double sum = 0;
  cuda::for_each_item(pixels * c, [&](unsigned i) {
    const std::size_t pixel = before + i / unsigned(c);
    const int k = int(i % unsigned(c));
    const T value = z[before * c + i];
    if (k < c_kept) {
      kept[pixel * c_kept + k] = value;
      return;
    }
    if (latent != nullptr) latent[pixel * c_latent + (k - c_kept)] = value;
    sum += double(value) * double(value);
  });
  add_log_density(logp, sum, std::size_t(pixels) * c_latent);
}

template <class T>
__global__ void split_inverse_kernel(T* z, const T* kept, const T* latent, unsigned pixels, int c) {
  const int c_latent = c / 2, c_kept = c - c_latent;
  const std::size_t before = std::size_t(blockIdx.x) * pixels;
  cuda::for_each_item(pixels * c, [&](unsigned i) {
    const std::size_t pixel = before + i / unsigned(c);
    const int k = int(i % unsigned(c));
    z[before * c + i] = k < c_kept ? kept[pixel * c_kept + k] : latent[pixel * c_latent + (k - c_kept)];
  });
}

template <class T>
__global__ void split_backward_kernel(Grad<T> dz, const T* dkept, const double* dlogp, const T* z, unsigned pixels,
                                      int c) {
  const int c_kept = c - c / 2;
  const std::size_t before = std::size_t(blockIdx.x) * pixels;
  const double d = dlogp[blockIdx.x];
  cuda::for_each_item(pixels * c, [&](unsigned i) {
    const std::size_t pixel = before + i / unsigned(c), at = before * c + i;
    const int k = int(i % unsigned(c));
    dz.write(at, k < c_kept ? dkept[pixel * c_kept + k] : T(-z[at] * d));
  });
}

}  // namespace

template <class T, Gpu G>
void gaussian_log_density_forward(double* logp, const T* z, int n, std::size_t per_image, G gpu) {
  if (n == 0) return;
  FLOWSMITH_LAUNCH(gaussian_log_density_forward_kernel<T>, cuda::one_block_per_image(n), cuda::kBlockThreads, 0, gpu,
                   logp, z, cuda::image_elements(per_image));
}

template <class T, Gpu G>
void gaussian_log_density_backward(Grad<T> dz, const double* dlogp, const T* z, int n, std::size_t per_image, G gpu) {
  if (!dz || n == 0) return;
  const unsigned elements = cuda::image_elements(per_image);
  FLOWSMITH_LAUNCH(gaussian_log_density_backward_kernel<T>, cuda::image_grid(n, cuda::groups_of_four(elements)),
                   cuda::kBlockThreads, 0, gpu, dz, dlogp, z, elements);
}

template <class T, Gpu G>
void split_forward(T* kept, T* latent, double* logp, const T* z, MapShape shape, G gpu) {
  if (shape.size() == 0) return;
  cuda::image_elements(shape.image_size());
  FLOWSMITH_LAUNCH(split_forward_kernel<T>, cuda::one_block_per_image(shape.n), cuda::kBlockThreads, 0, gpu, kept,
                   latent, logp, z, unsigned(shape.pixels()), shape.c);
}

template <class T, Gpu G>
void split_inverse(T* z, const T* kept, const T* latent, MapShape shape, G gpu) {
  if (shape.size() == 0) return;
  FLOWSMITH_LAUNCH(split_inverse_kernel<T>, cuda::image_grid(shape.n, cuda::image_elements(shape.image_size())),
                   cuda::kBlockThreads, 0, gpu, z, kept, latent, unsigned(shape.pixels()), shape.c);
}

template <class T, Gpu G>
void split_backward(Grad<T> dz, const T* dkept, const double* dlogp, const T* z, MapShape shape, G gpu) {
  if (!dz || shape.size() == 0) return;
  FLOWSMITH_LAUNCH(split_backward_kernel<T>, cuda::image_grid(shape.n, cuda::image_elements(shape.image_size())),
                   cuda::kBlockThreads, 0, gpu, dz, dkept, dlogp, z, unsigned(shape.pixels()), shape.c);
}

#define FLOWSMITH_INSTANTIATE(T)                                                                            \
  template void gaussian_log_density_forward(double*, const T*, int, std::size_t, ThisGpu);                 \
  template void gaussian_log_density_backward(Grad<T>, const double*, const T*, int, std::size_t, ThisGpu); \
  template void split_forward(T*, T*, double*, const T*, MapShape, ThisGpu);                                \
  template void split_inverse(T*, const T*, const T*, MapShape, ThisGpu);                                   \
  template void split_backward(Grad<T>, const T*, const double*, const T*, MapShape, ThisGpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
