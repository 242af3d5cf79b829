// How kernels that mix the channels of a pixel divide their work: a block takes whole pixels, holds them in shared
// memory, and writes what becomes of them, which may be in their place.
#pragma once

#include <algorithm>

#include "kernels/cuda/grid.h"

namespace flowsmith::core::cuda {

/// The plan of a launch: grid (tile).
struct PixelTiles {
  std::size_t pixels;  ///< of the batch
  int c;
  int tile;           ///< pixels of a block
  std::size_t bytes;  ///< of shared memory that they take, whole doubles

  /// Of elements of so many bytes. Throws GpuError for a pixel that shared memory cannot hold.
  PixelTiles(MapShape shape, std::size_t element) : pixels(shape.n * shape.pixels()), c(shape.c) {
    constexpr int kElements = 4 * kBlockThreads;
    constexpr std::size_t kMostBytes = 227 * 1024;  // of a block, since Hopper
    tile = std::max(1, kElements / shape.c);
    bytes = (std::size_t(tile) * c * element + 7) / 8 * 8;
    if (bytes > kMostBytes) {
      throw GpuError("a pixel of " + std::to_string(c) +
                     " channels is too large for the GPU kernels that mix channels: they take up to " +
                     std::to_string(kMostBytes / element) + ", so use fewer");
    }
  }

  dim3 grid() const { return dim3(unsigned((pixels + tile - 1) / tile)); }

  /// First element of this block's pixels.
  __device__ std::size_t first() const { return std::size_t(blockIdx.x) * tile * c; }
  /// Elements of this block's pixels: fewer in the last block.
  __device__ int elements() const {
    const std::size_t before = std::size_t(blockIdx.x) * tile;
    return int(pixels - before < std::size_t(tile) ? pixels - before : tile) * c;
  }
};

}  // namespace flowsmith::core::cuda
