// The register tile of the weight gradients: sum[m][o] += sum over pixels of scalar[pixel][m] * vector[pixel][o], with
// kScalars by kVectors vectors of sums in registers, in the order of the pixels.
//
// GCC keeps an array of vectors in registers only if every loop over it, first and last included, is fully unrolled.
#include "kernels/cpu/vector_math-inl.h"

#if defined(FLOWSMITH_CPU_GRADIENT_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FLOWSMITH_CPU_GRADIENT_TILE_INL_H_
#undef FLOWSMITH_CPU_GRADIENT_TILE_INL_H_
#else
#define FLOWSMITH_CPU_GRADIENT_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::HWY_NAMESPACE {

/// Two images over the same pixels; strides in floats.
struct GradientTile {
  const float* scalars;
  const float* vectors;
  Index scalar_row, scalar_pixel, vector_row, vector_pixel;
  int rows, width;
};

/// sums: [kScalars][kVectors * kLanes], without gaps.
template <int kScalars, int kVectors>
HWY_NOINLINE void gradient_tile(const GradientTile& tile, float* HWY_RESTRICT sums) {
  const Floats d;
  Vector sum[kScalars][kVectors];
#pragma GCC unroll 24
  for (int m = 0; m < kScalars; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[m][v] = hn::LoadU(d, sums + (m * kVectors + v) * kLanes);
  }
  for (int row = 0; row < tile.rows; ++row) {
    const float* HWY_RESTRICT scalars = tile.scalars + row * tile.scalar_row;
    const float* HWY_RESTRICT vectors = tile.vectors + row * tile.vector_row;
    for (int x = 0; x < tile.width; ++x) {
      Vector b[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) b[v] = hn::LoadU(d, vectors + v * kLanes);
#pragma GCC unroll 24
      for (int m = 0; m < kScalars; ++m) {
        const Vector a = hn::Set(d, scalars[m]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[m][v] = hn::MulAdd(a, b[v], sum[m][v]);
      }
      scalars += tile.scalar_pixel;
      vectors += tile.vector_pixel;
    }
  }
#pragma GCC unroll 24
  for (int m = 0; m < kScalars; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[m][v], d, sums + (m * kVectors + v) * kLanes);
  }
}

using GradientTileFunction = void (*)(const GradientTile&, float*);
/// Sums of a register tile.
struct GradientTileSize {
  int scalars, vectors;
  GradientTileFunction run;
};
template <int kScalars, int kVectors>
constexpr GradientTileSize gradient_tile_size() {
  return {kScalars, kVectors, &gradient_tile<kScalars, kVectors>};
}

/// All sums of a tile fit the registers; the small ones serve few input channels, and the last rows of a swapped plan.
#if HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr GradientTileSize kGradientTiles[] = {
    gradient_tile_size<24, 1>(), gradient_tile_size<16, 1>(), gradient_tile_size<8, 1>(), gradient_tile_size<3, 1>(),
    gradient_tile_size<12, 2>(), gradient_tile_size<8, 2>(),  gradient_tile_size<3, 2>(), gradient_tile_size<8, 3>(),
    gradient_tile_size<6, 4>(),  gradient_tile_size<3, 3>()};
constexpr int kSwappedVectors = 4;
#else
constexpr GradientTileSize kGradientTiles[] = {
    gradient_tile_size<12, 1>(), gradient_tile_size<8, 1>(), gradient_tile_size<3, 1>(), gradient_tile_size<6, 2>(),
    gradient_tile_size<4, 2>(),  gradient_tile_size<3, 2>(), gradient_tile_size<4, 3>(), gradient_tile_size<3, 3>()};
constexpr int kSwappedVectors = 2;
#endif
constexpr GradientTileSize kSwappedTiles[] = {
    gradient_tile_size<1, kSwappedVectors>(), gradient_tile_size<2, kSwappedVectors>(),
    gradient_tile_size<3, kSwappedVectors>(), gradient_tile_size<4, kSwappedVectors>()};

HWY_INLINE GradientTileFunction find_gradient_tile(int scalars, int vectors, bool swapped) {
  if (swapped) return kSwappedTiles[scalars - 1].run;
  for (const GradientTileSize& tile : kGradientTiles) {
    if (tile.scalars == scalars && tile.vectors == vectors) return tile.run;
  }
  return nullptr;
}

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
