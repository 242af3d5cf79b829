// Multiply-adds out of registers, products of tensor cores out of registers, and a copy: the floor under every other
// kernel's time is its operations over one of the first two rates, or its bytes over the third.
//
// Memory: the two arithmetic kernels read at most two small matrices and write one number or matrix per thread or warp
// at the end, so nothing but arithmetic is timed once `rounds` is large. The copy moves 8 bytes per float; each thread
// has four 16-byte loads under way before it stores, and neighbours in a warp are neighbours in memory.
#include <cmath>

#include "kernels/cuda/mma.h"
#include "kernels/cuda/peak.h"
#include "kernels/cuda/vector.h"

namespace flowsmith::core::cuda {
namespace {

constexpr int kSums = 16;      ///< a multiply-add takes four cycles: four warps of a scheduler alone would hide it
constexpr int kTiles = 8;      ///< sums of a warp: 32 registers
constexpr int kCopyFours = 4;  ///< 16-byte groups of one thread

__global__ void __launch_bounds__(kPeakThreads) multiply_add_kernel(float* y, float start, int rounds) {
  // The threads differ: a Blackwell does the same sum for a whole warp only once.
  float x[kSums];
#pragma unroll
  for (int k = 0; k < kSums; ++k) x[k] = start + float(int(threadIdx.x) + k);
#pragma unroll 4
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int k = 0; k < kSums; ++k) x[k] = fmaf(x[k], 0.5f, 0.5f);
  }
  float sum = 0;
#pragma unroll
  for (int k = 0; k < kSums; ++k) sum += x[k];
  y[std::size_t(blockIdx.x) * kPeakThreads + threadIdx.x] = sum;
}

/// Word `word` of a row of a matrix: elements depth_stride apart.
template <NetPrecision kPrecision>
__device__ std::uint32_t word_of(const float* row, int word, int stride) {
  if constexpr (kPrecision == NetPrecision::kBf16) {
    return to_bf16(row[2 * word * stride], row[(2 * word + 1) * stride]);
  } else {
    return to_tf32(row[word * stride]);
  }
}

template <NetPrecision kPrecision>
__device__ void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  if constexpr (kPrecision == NetPrecision::kBf16) {
    mma_bf16(d, a, b);
  } else {
    mma_tf32(d, a, b);
  }
}

template <NetPrecision kPrecision>
__global__ void __launch_bounds__(kPeakThreads) mma_kernel(float* y, const float* a, const float* b, int rounds) {
  constexpr int kDepth = mma_depth(kPrecision);
  const int g = lane_index() / 4, t = lane_index() % 4;  // mma.h has the layouts
  std::uint32_t a_words[4], b_words[2];
  for (int i = 0; i < 4; ++i) a_words[i] = word_of<kPrecision>(a + (g + i % 2 * 8) * kDepth, t + i / 2 * 4, 1);
  for (int i = 0; i < 2; ++i) b_words[i] = word_of<kPrecision>(b + g, t + i * 4, 8);
  float d[kTiles][4] = {};
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) multiply<kPrecision>(d[tile], a_words, b_words);
  }
  float* const out = y + (std::size_t(blockIdx.x) * kPeakWarps + warp_index()) * 16 * 8;
  for (int i = 0; i < 4; ++i) {
    float sum = 0;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) sum += d[tile][i];
    out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum;
  }
}

__global__ void __launch_bounds__(kPeakThreads) copy_kernel(float* to, const float* from, std::size_t fours) {
  const std::size_t first = std::size_t(blockIdx.x) * kPeakThreads * kCopyFours + threadIdx.x;
  Four<float> moved[kCopyFours];
#pragma unroll
  for (int i = 0; i < kCopyFours; ++i) {
    const std::size_t at = first + i * kPeakThreads;
    if (at < fours) moved[i] = load_vector<4>(from + 4 * at);
  }
#pragma unroll
  for (int i = 0; i < kCopyFours; ++i) {
    const std::size_t at = first + i * kPeakThreads;
    if (at < fours) store_vector(to + 4 * at, moved[i]);
  }
}

}  // namespace

template <Gpu G>
double multiply_add_work(float* y, float start, int rounds, int blocks, G gpu) {
  if (blocks == 0) return 0;
  FLOWSMITH_LAUNCH(multiply_add_kernel, dim3(unsigned(blocks)), dim3(kPeakThreads), 0, gpu, y, start, rounds);
  return 2.0 * kSums * rounds * kPeakThreads * blocks;
}

template <Gpu G>
double mma_work(float* y, const float* a, const float* b, int rounds, int blocks, G gpu) {
  if (blocks == 0) return 0;
  const dim3 grid{unsigned(blocks)}, block{kPeakThreads};
  switch (gpu.precision) {
    case NetPrecision::kTf32:
      FLOWSMITH_LAUNCH(mma_kernel<NetPrecision::kTf32>, grid, block, 0, gpu, y, a, b, rounds);
      break;
    case NetPrecision::kBf16:
      FLOWSMITH_LAUNCH(mma_kernel<NetPrecision::kBf16>, grid, block, 0, gpu, y, a, b, rounds);
      break;
    case NetPrecision::kFp32:
      throw GpuError("tensor cores do not multiply fp32: choose tf32 or bf16");
  }
  return 2.0 * 16 * 8 * mma_depth(gpu.precision) * kTiles * rounds * kPeakWarps * blocks;
}

template <Gpu G>
double copy_work(float* to, const float* from, std::size_t size, G gpu) {
  const std::size_t fours = size / 4, per_block = std::size_t(kPeakThreads) * kCopyFours;
  if (fours == 0) return 0;
  FLOWSMITH_LAUNCH(copy_kernel, dim3(unsigned((fours + per_block - 1) / per_block)), dim3(kPeakThreads), 0, gpu, to,
                   from, fours);
  return 2.0 * sizeof(float) * double(4 * fours);
}

template double multiply_add_work(float*, float, int, int, ThisGpu);
template double mma_work(float*, const float*, const float*, int, int, ThisGpu);
template double copy_work(float*, const float*, std::size_t, ThisGpu);

}  // namespace flowsmith::core::cuda
