// One sum per channel over all pixels of a batch (gradients of scaling factors, gamma, beta), in a fixed order and in
// double: a block sums a slice of an image for up to kBlockThreads channels, and a second launch adds the slices.
//
// A thread keeps to one channel, and the threads of a row of the block have neighbouring channels of one pixel, so that
// what they load lies side by side.
#pragma once

#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/grid.h"

namespace flowsmith::core::cuda {

/// The plan of a launch: grid (image, slice of the image, group of channels).
struct ChannelSlices {
  int channels;          ///< of the map
  int columns;           ///< channels of a group: threads of one pixel
  int rows;              ///< pixels that a block has in hand at once
  unsigned pixels;       ///< of an image
  unsigned slice;        ///< pixels of a slice
  unsigned slice_count;  ///< of an image
  int n;                 ///< images

  explicit ChannelSlices(MapShape shape) : channels(shape.c), n(shape.n) {
    constexpr unsigned kPixelsPerThread = 16;
    image_elements(shape.image_size());
    columns = std::clamp(shape.c, 1, kBlockThreads);
    rows = kBlockThreads / columns;
    pixels = unsigned(shape.pixels());
    slice = std::max(unsigned(rows) * kPixelsPerThread, pixels / 1024);
    slice_count = (pixels + slice - 1) / slice;
  }

  dim3 grid() const { return dim3(unsigned(n), slice_count, unsigned((channels + columns - 1) / columns)); }
  FLOWSMITH_HD std::size_t total_slices() const { return std::size_t(n) * slice_count; }
  /// Of the partial sums, one per channel and slice.
  std::size_t partial_bytes() const { return total_slices() * channels * sizeof(double); }
};

/// This thread's channel and pixels.
struct ChannelThread {
  int channel, row;
  unsigned first, end, step;  ///< pixels of image blockIdx.x: none behind the last channel or row

  __device__ explicit ChannelThread(const ChannelSlices& plan) {
    const int column = int(threadIdx.x) % plan.columns;
    channel = int(blockIdx.z) * plan.columns + column;
    row = int(threadIdx.x) / plan.columns;
    const bool inside = channel < plan.channels && row < plan.rows;
    const unsigned begin = blockIdx.y * plan.slice;
    end = inside ? min(begin + plan.slice, plan.pixels) : 0;
    first = begin + row;
    step = plan.rows;
  }
};

/// Adds the values of a column of threads, neighbours at twice the distance from step to step, and writes the sum to
/// partials[table][channel][slice]: who needs several sums has a table for each. All threads of the block must call it.
__device__ inline void write_slice_sum(double* partials, double value, const ChannelThread& thread,
                                       const ChannelSlices& plan, int table = 0) {
  FLOWSMITH_SHARED(double, sums, [kBlockThreads]);
  __syncthreads();  // an earlier sum may still be read
  sums[threadIdx.x] = value;
  for (int active = plan.rows; active > 1;) {
    const int half = (active + 1) / 2;
    __syncthreads();
    if (thread.row < active - half) sums[threadIdx.x] += sums[threadIdx.x + half * plan.columns];
    active = half;
  }
  if (thread.row == 0 && thread.channel < plan.channels) {
    const std::size_t slice = std::size_t(blockIdx.x) * plan.slice_count + blockIdx.y;
    const std::size_t row = std::size_t(table) * plan.channels + thread.channel;
    partials[row * plan.total_slices() + slice] = sums[threadIdx.x];
  }
}

/// sum[row] = the slices of row blockIdx.x of `partials`, added in order.
template <class T>
static __global__ void add_slices_kernel(Grad<T> sum, const double* partials, std::size_t slices) {
  const double* row = partials + blockIdx.x * slices;
  double value = 0;
  for (std::size_t i = threadIdx.x; i < slices; i += blockDim.x) value += row[i];
  value = block_sum(value);
  if (threadIdx.x == 0) sum.write(blockIdx.x, T(value));
}

/// sum[channel] from what write_slice_sum left in `partials`; 0 where the batch is empty. `tables` of them give
/// as many rows of sums.
template <class T, Gpu G>
void add_slices(Grad<T> sum, const double* partials, const ChannelSlices& plan, G gpu, int tables = 1) {
  FLOWSMITH_LAUNCH(add_slices_kernel<T>, dim3(unsigned(tables * plan.channels)), kBlockThreads, 0, gpu, sum, partials,
                   plan.total_slices());
}

}  // namespace flowsmith::core::cuda
