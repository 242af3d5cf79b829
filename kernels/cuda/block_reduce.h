// Sums over the threads of a warp and of a block, in an order that nothing but the number of threads decides.
#pragma once

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/grid.h"

namespace flowsmith::core::cuda {

inline constexpr int kWarpThreads = 32;

/// The sum over a warp, the same bits in every lane. All 32 lanes must call it.
template <class T>
__device__ T warp_sum(T value) {
  for (int distance = kWarpThreads / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  }
  return value;
}

/// The sum over a block of kBlockThreads, for thread 0; other threads get something else. All threads must call it, and
/// once in a kernel: a second sum could overwrite what the first still reads.
__device__ inline double block_sum(double value) {
  constexpr int kWarps = kBlockThreads / kWarpThreads;
  FLOWSMITH_SHARED(double, of_warp, [kWarps]);
  value = warp_sum(value);
  const int warp = int(threadIdx.x) / kWarpThreads, lane = int(threadIdx.x) % kWarpThreads;
  if (lane == 0) of_warp[warp] = value;
  __syncthreads();
  double sum = 0;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kWarps; ++i) sum += of_warp[i];
  }
  return sum;
}

}  // namespace flowsmith::core::cuda
