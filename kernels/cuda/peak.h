// The ceilings of a GPU, as kernels that do nothing else: what the speed of the others is held against.
#pragma once

#include "kernels/types.h"

namespace flowsmith::core::cuda {

inline constexpr int kPeakThreads = 256;              ///< of a block
inline constexpr int kPeakWarps = kPeakThreads / 32;  ///< of a block

/// Multiply-adds on registers, with 16 independent sums per thread:
///   x_k = start + thread + k, then `rounds` times x_k = x_k / 2 + 1/2, and y = x_0 + ... + x_15
/// y (blocks * kPeakThreads), threads counted in their block. Returns the operations, a multiply-add counting two.
template <Gpu G>
double multiply_add_work(float* y, float start, int rounds, int blocks, G gpu);

/// Depth of one product of mma_work: 8, or 16 in bf16.
constexpr int mma_depth(NetPrecision precision) { return precision == NetPrecision::kBf16 ? 16 : 8; }

/// Tensor cores through mma.sync, with 8 independent sums per warp: y = 8 * rounds * a * b, the sums in float.
/// a (16, depth) and b (depth, 8) are rounded to gpu.precision, which must be kTf32 or kBf16; y (blocks * kPeakWarps,
/// 16, 8): the same matrix everywhere. Returns the operations, a multiply-add counting two.
template <Gpu G>
double mma_work(float* y, const float* a, const float* b, int rounds, int blocks, G gpu);

/// to[i] = from[i]; size must be a multiple of 4, and both pointers aligned to 16. Returns the bytes read and written.
template <Gpu G>
double copy_work(float* to, const float* from, std::size_t size, G gpu);

}  // namespace flowsmith::core::cuda
