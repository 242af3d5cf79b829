// The register tiles of the convolutions: where nearly all the time of training goes.
//
// conv_tile:  out[p][o] = bias[o] + sum over ky, j of in[p][ky][j] * w[ky][j][o]
//   A tile is kGroups groups of kGroupPixels neighbouring pixels by kVectors vectors of output channels, all of it in
//   registers: per step j it loads kVectors weights and broadcasts one input per pixel for kGroups * kGroupPixels *
//   kVectors multiply-adds. j runs over the kernel's columns and input channels at once, because a padded NHWC row
//   holds them contiguously.
// dot_tile: the same sum where output channels are fewer than the lanes of a vector: there the lanes run over j.
//
// Every output element is summed in the same order (bias, then ky, then j) by every tile, so its bits do not depend
// on how an image is cut into tiles.
//
// GCC keeps an array of vectors in registers only if every loop over it, first and last included, is fully unrolled.
#include <hwy/cache_control.h>

#include "kernels/cpu/vector_math-inl.h"

#if defined(FLOWSMITH_CPU_CONV_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLOWSMITH_CPU_CONV_TILE_INL_H_
#undef FLOWSMITH_CPU_CONV_TILE_INL_H_
#else
#define FLOWSMITH_CPU_CONV_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::HWY_NAMESPACE {

/// 32 vector registers hold 28 sums, 16 registers 12: groups of 7 pixels divide the widths 7, 14 and 28 of the flows.
inline constexpr bool kManyRegisters = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON;
inline constexpr int kGroupPixels = kManyRegisters ? 7 : 4;
/// Largest number of groups of a tile.
inline constexpr int kMaxGroups = kManyRegisters ? 4 : 3;

/// Where the pixels of a tile lie: group g starts at in[g]; strides in floats.
struct TileInput {
  const float* in[kMaxGroups];
  Index pixel_stride, row_stride;
  int ky_begin, ky_end;  ///< rows of the kernel that meet the image
  int row_length;        ///< kernel columns * input channels
  const float* ahead;    ///< what the next tile reads: fetched meanwhile, a line of 16 floats per step
};

/// Distances of a group's pixels from its first one. Kept opaque so that the compiler addresses all pixels as
/// base + {1,2,4} * one of three registers instead of carrying a pointer for each.
struct PixelOffsets {
  Index one, three, five;
  explicit HWY_INLINE PixelOffsets(Index stride) : one(stride), three(3 * stride), five(5 * stride) {
#if HWY_COMPILER_GCC
    asm("" : "+r"(one), "+r"(three), "+r"(five));
#endif
  }
  HWY_INLINE Index operator[](int p) const {
    return p == 0 ? 0 : p == 1 ? one : p == 2 ? 2 * one : p == 3 ? three : p == 4 ? 4 * one : p == 5 ? five : 2 * three;
  }
};

template <int kGroups, int kVectors>
HWY_NOINLINE void conv_tile(const TileInput& tile, const float* HWY_RESTRICT weight, const float* HWY_RESTRICT bias,
                            float* const* out, Index out_stride) {
  constexpr int kPixels = kGroups * kGroupPixels;
  const Floats d;
  Vector sum[kPixels][kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const Vector b = hn::LoadU(d, bias + v * kLanes);
#pragma GCC unroll 28
    for (int p = 0; p < kPixels; ++p) sum[p][v] = b;
  }
  const PixelOffsets offset(tile.pixel_stride);
  const Index row_length = tile.row_length;
  const float* ahead = tile.ahead;
  weight += tile.ky_begin * row_length * (kVectors * kLanes);
  for (int ky = tile.ky_begin; ky < tile.ky_end; ++ky) {
    const float* in[kGroups];
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) in[g] = tile.in[g] + ky * tile.row_stride;
    for (Index j = 0; j < row_length; ++j) {
      Vector w[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) w[v] = hn::Load(d, weight + v * kLanes);
      weight += kVectors * kLanes;
      hwy::Prefetch(ahead);
      ahead += 16;
#pragma GCC unroll 28
      for (int p = 0; p < kPixels; ++p) {
        const Vector a = hn::Set(d, in[p / kGroupPixels][offset[p % kGroupPixels]]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[p][v] = hn::MulAdd(a, w[v], sum[p][v]);
      }
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g) ++in[g];
    }
  }
#pragma GCC unroll 28
  for (int p = 0; p < kPixels; ++p) {
    float* to = out[p / kGroupPixels] + (p % kGroupPixels) * out_stride;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[p][v], d, to + v * kLanes);
  }
}

/// One group of pixels by kOutputs output channels; weight[o][ky][packed_row], out[p * out_stride + o].
template <int kOutputs>
HWY_NOINLINE void dot_tile(const TileInput& tile, const float* HWY_RESTRICT weight, Index packed_row, Index kernel,
                           const float* HWY_RESTRICT bias, float* out, Index out_stride) {
  const Floats d;
  Vector sum[kGroupPixels][kOutputs];
#pragma GCC unroll 7
  for (int p = 0; p < kGroupPixels; ++p) {
#pragma GCC unroll 3
    for (int o = 0; o < kOutputs; ++o) sum[p][o] = hn::Zero(d);
  }
  const PixelOffsets offset(tile.pixel_stride);
  const Index whole = tile.row_length / kLanes * kLanes, rest = tile.row_length - whole;
  for (int ky = tile.ky_begin; ky < tile.ky_end; ++ky) {
    const float* in = tile.in[0] + ky * tile.row_stride;
    const float* w = weight + ky * packed_row;
    for (Index j = 0; j < whole; j += kLanes) {
      Vector wv[kOutputs];
#pragma GCC unroll 3
      for (int o = 0; o < kOutputs; ++o) wv[o] = hn::LoadU(d, w + o * kernel * packed_row + j);
#pragma GCC unroll 7
      for (int p = 0; p < kGroupPixels; ++p) {
        const Vector a = hn::LoadU(d, in + j + offset[p]);
#pragma GCC unroll 3
        for (int o = 0; o < kOutputs; ++o) sum[p][o] = hn::MulAdd(a, wv[o], sum[p][o]);
      }
    }
    if (rest > 0) {
      Vector wv[kOutputs];
#pragma GCC unroll 3
      for (int o = 0; o < kOutputs; ++o) wv[o] = hn::LoadU(d, w + o * kernel * packed_row + whole);
#pragma GCC unroll 7
      for (int p = 0; p < kGroupPixels; ++p) {
        // What follows in memory belongs to the next pixel; times a zero weight it would still carry its NaN over.
        const Vector a = keep_first(hn::LoadU(d, in + whole + offset[p]), rest);
#pragma GCC unroll 3
        for (int o = 0; o < kOutputs; ++o) sum[p][o] = hn::MulAdd(a, wv[o], sum[p][o]);
      }
    }
  }
#pragma GCC unroll 7
  for (int p = 0; p < kGroupPixels; ++p) {
#pragma GCC unroll 3
    for (int o = 0; o < kOutputs; ++o) out[p * out_stride + o] = bias[o] + hn::GetLane(hn::SumOfLanes(d, sum[p][o]));
  }
}

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
