// Sums and joined channels on the GPU; the formulas are in kernels/join.h.
//
// Memory plan: sums have a thread per four neighbours. Joined maps have a thread per element of y, whose neighbours
// read neighbours of a or b; nothing is computed.
//
// Floor: add 3 PC f forward, up to 3 PC f backward; concat_channels 2 PC f each way.
#include "kernels/cuda/grid.h"
#include "kernels/cuda/vector.h"
#include "kernels/join.h"

namespace flowsmith::core {
namespace {

__global__ void add_forward_kernel(float* y, const float* a, const float* b, std::size_t size) {
  const std::size_t first = 4 * cuda::flat_item();
  if (first >= size) return;
  cuda::Four<float> sum = cuda::load_four(a, first, size);
  const cuda::Four<float> other = cuda::load_four(b, first, size);
  for (int i = 0; i < 4; ++i) sum[i] += other[i];
  cuda::store_four(y, first, size, sum);
}

/// Either gradient may be null, and both may be the same.
__global__ void add_backward_kernel(Grad<float> da, Grad<float> db, const float* dy, std::size_t size) {
  const std::size_t first = 4 * cuda::flat_item();
  if (first >= size) return;
  const cuda::Four<float> d = cuda::load_four(dy, first, size);
  if (da.data != nullptr) cuda::write_four(da, first, size, d);
  if (db.data != nullptr) cuda::write_four(db, first, size, d);
}

__global__ void concat_channels_forward_kernel(float* y, const float* a, const float* b, unsigned pixels, int c,
                                               int ca) {
  const std::size_t before = std::size_t(blockIdx.x) * pixels;
  cuda::for_each_item(pixels * c, [&](unsigned i) {
    const std::size_t pixel = before + i / unsigned(c);
    const int k = int(i % unsigned(c));
    y[before * c + i] = k < ca ? a[pixel * ca + k] : b[pixel * (c - ca) + (k - ca)];
  });
}

/// d = the `count` channels of dy from `first` on: the gradient of one of the two maps.
__global__ void concat_channels_backward_kernel(Grad<float> d, const float* dy, unsigned pixels, int c, int first,
                                                int count) {
  const std::size_t before = std::size_t(blockIdx.x) * pixels;
  cuda::for_each_item(pixels * count, [&](unsigned i) {
    const std::size_t pixel = before + i / unsigned(count);
    d.write(before * count + i, dy[pixel * c + first + i % unsigned(count)]);
  });
}

template <Gpu G>
void launch_split(Grad<float> d, const float* dy, MapShape y_shape, int first, int count, G gpu) {
  if (!d || count == 0 || y_shape.size() == 0) return;
  const auto pixels = unsigned(y_shape.pixels());
  cuda::image_elements(y_shape.image_size());
  FLOWSMITH_LAUNCH(concat_channels_backward_kernel, cuda::image_grid(y_shape.n, pixels * count), cuda::kBlockThreads, 0,
                   gpu, d, dy, pixels, y_shape.c, first, count);
}

}  // namespace

template <Gpu G>
void add_forward(float* y, const float* a, const float* b, std::size_t size, G gpu) {
  if (size == 0) return;
  FLOWSMITH_LAUNCH(add_forward_kernel, cuda::flat_grid((size + 3) / 4), cuda::kBlockThreads, 0, gpu, y, a, b, size);
}

template <Gpu G>
void add_backward(Grad<float> da, Grad<float> db, const float* dy, std::size_t size, G gpu) {
  if (size == 0 || (!da && !db)) return;
  FLOWSMITH_LAUNCH(add_backward_kernel, cuda::flat_grid((size + 3) / 4), cuda::kBlockThreads, 0, gpu, da, db, dy, size);
}

template <Gpu G>
void concat_channels_forward(float* y, const float* a, const float* b, MapShape y_shape, int a_channels, G gpu) {
  if (y_shape.size() == 0) return;
  const unsigned elements = cuda::image_elements(y_shape.image_size());
  FLOWSMITH_LAUNCH(concat_channels_forward_kernel, cuda::image_grid(y_shape.n, elements), cuda::kBlockThreads, 0, gpu,
                   y, a, b, unsigned(y_shape.pixels()), y_shape.c, a_channels);
}

template <Gpu G>
void concat_channels_backward(Grad<float> da, Grad<float> db, const float* dy, MapShape y_shape, int a_channels,
                              G gpu) {
  launch_split(da, dy, y_shape, 0, a_channels, gpu);
  launch_split(db, dy, y_shape, a_channels, y_shape.c - a_channels, gpu);
}

template void add_forward(float*, const float*, const float*, std::size_t, ThisGpu);
template void add_backward(Grad<float>, Grad<float>, const float*, std::size_t, ThisGpu);
template void concat_channels_forward(float*, const float*, const float*, MapShape, int, ThisGpu);
template void concat_channels_backward(Grad<float>, Grad<float>, const float*, MapShape, int, ThisGpu);

}  // namespace flowsmith::core
