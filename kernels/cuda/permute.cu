// Permutation of the channels on the GPU.
//
//   out[.., k] = in[.., order[k]], and back: kernels/permute.h
//
// Memory plan: a block holds some whole pixels in shared memory. Global memory is read and written in the order of its
// elements, in full lines; the permutation happens in shared memory, in which any order is as good. All of a block's
// pixels are read before the first is written, so the result may take the place of the input.
//
// Floor: 2 PC f, 3 PC f when a gradient accumulates; no arithmetic. 128 MNIST images: 0.8 MB, 0.3 us at 3 TB/s.
#include "kernels/cuda/grid.h"
#include "kernels/cuda/pixel_tiles.h"
#include "kernels/permute.h"

namespace flowsmith::core {
namespace {

enum class Direction { kForward, kInverse };

template <Direction kDirection, class T>
__global__ void permute_kernel(Grad<T> to, const T* from, const std::uint32_t* order, cuda::PixelTiles plan) {
  FLOWSMITH_DYNAMIC_SHARED(T, pixels);
  const std::size_t first = plan.first();
  const int elements = plan.elements(), c = plan.c;
  for (int i = int(threadIdx.x); i < elements; i += int(blockDim.x)) {
    const int k = i % c;
    pixels[kDirection == Direction::kForward ? i : i - k + int(order[k])] = from[first + i];
  }
  __syncthreads();
  for (int i = int(threadIdx.x); i < elements; i += int(blockDim.x)) {
    const int k = i % c;
    to.write(first + i, pixels[kDirection == Direction::kForward ? i - k + int(order[k]) : i]);
  }
}

template <Direction kDirection, class T, Gpu G>
void launch_permute(Grad<T> to, const T* from, const std::uint32_t* order, MapShape shape, G gpu) {
  if (!to || shape.size() == 0) return;
  const cuda::PixelTiles plan(shape, sizeof(T));
  FLOWSMITH_LAUNCH((permute_kernel<kDirection, T>), plan.grid(), cuda::kBlockThreads, plan.bytes, gpu, to, from, order,
                   plan);
}

}  // namespace

template <class T, Gpu G>
void permute_forward(T* out, const T* in, const std::uint32_t* order, MapShape shape, G gpu) {
  launch_permute<Direction::kForward>(Grad<T>{out}, in, order, shape, gpu);
}

template <class T, Gpu G>
void permute_inverse(Grad<T> in, const T* out, const std::uint32_t* order, MapShape shape, G gpu) {
  launch_permute<Direction::kInverse>(in, out, order, shape, gpu);
}

#define FLOWSMITH_INSTANTIATE(T)                                                        \
  template void permute_forward(T*, const T*, const std::uint32_t*, MapShape, ThisGpu); \
  template void permute_inverse(Grad<T>, const T*, const std::uint32_t*, MapShape, ThisGpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
