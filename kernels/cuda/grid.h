// How pointwise kernels divide their work: by images, so that the arithmetic of an index inside an image fits 32 bits
// and only the offset of an image needs 64, or as one flat span.
#pragma once

#include <algorithm>

#include "kernels/cuda/gpu.h"

namespace flowsmith::core::cuda {

/// Threads of a block, here and in block_reduce.h.
inline constexpr int kBlockThreads = 256;

/// The elements of one image as a 32-bit number. Throws GpuError from 2^31 on; a batch may have more.
inline unsigned image_elements(std::size_t elements) {
  if (elements >> 31 != 0) {
    throw GpuError("an image of " + std::to_string(elements) +
                   " elements is too large for the GPU kernels: they take fewer than 2^31, so cut it into parts");
  }
  return unsigned(elements);
}

/// blockIdx.x is the image, blockIdx.y a part of its items; for_each_item shares them out. Each thread has one item
/// until an image has so many that the parts run out.
inline dim3 image_grid(int n, unsigned items) {
  constexpr unsigned kMostParts = 4096;
  return dim3(unsigned(n), std::clamp((items + kBlockThreads - 1) / kBlockThreads, 1u, kMostParts));
}

/// One block per image: what a sum over an image needs.
inline dim3 one_block_per_image(int n) { return dim3(unsigned(n)); }

/// One thread per item of a span that belongs to no image.
inline dim3 flat_grid(std::size_t items) { return dim3(unsigned((items + kBlockThreads - 1) / kBlockThreads)); }

/// Calls body(item) for the items of image blockIdx.x that are this thread's.
template <class Body>
__device__ void for_each_item(unsigned items, Body body) {
  for (unsigned i = blockIdx.y * blockDim.x + threadIdx.x; i < items; i += gridDim.y * blockDim.x) body(i);
}

/// This thread's item of a flat_grid.
__device__ inline std::size_t flat_item() { return std::size_t(blockIdx.x) * blockDim.x + threadIdx.x; }

/// Groups of four neighbours that cover a row; the last may be incomplete.
FLOWSMITH_HD inline unsigned groups_of_four(unsigned elements) { return elements / 4 + (elements % 4 != 0); }

/// Where element i of an image (h,w,c) lies.
struct MapPosition {
  unsigned pixel;
  int y, x, k;
};

__device__ inline MapPosition map_position(unsigned i, int w, int c) {
  const unsigned pixel = i / unsigned(c);
  return {pixel, int(pixel / unsigned(w)), int(pixel % unsigned(w)), int(i - pixel * unsigned(c))};
}

}  // namespace flowsmith::core::cuda
