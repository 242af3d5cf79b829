// Products by AVX512-BF16: the 16 rows of a tile of sums in registers, one row of column pairs from memory, and a pair
// of each row of a broadcast.
#include "kernels/cpu/bf16/tiles.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

namespace flowsmith::core::cpu::bf16 {
namespace {

#define FLOWSMITH_AVX512 __attribute__((target("avx512f,avx512bf16")))

FLOWSMITH_AVX512 void multiply_tile(const TileProduct& p, int row_tile, int column_tile) {
  const float* start = p.start + row_tile * kTile * p.start_row + column_tile * kTile;
  __m512 sums[kTile];
#pragma GCC unroll 16
  for (int r = 0; r < kTile; ++r) sums[r] = _mm512_loadu_ps(start + r * p.start_row);
  const Bf16* b = p.b + column_tile * p.b_tile;
  for (int outer = 0; outer < p.outer_steps; ++outer) {
    const Bf16* a = p.a + row_tile * kTile * p.a_row + outer * p.a_outer;
    for (int q = 0; q < p.inner_steps * kTile; ++q, a += 2, b += p.b_row) {
      const __m512bh pairs = (__m512bh)_mm512_loadu_si512(b);
#pragma GCC unroll 16
      for (int r = 0; r < kTile; ++r) {
        int pair;
        std::memcpy(&pair, a + r * p.a_row, sizeof pair);
        sums[r] = _mm512_dpbf16_ps(sums[r], (__m512bh)_mm512_set1_epi32(pair), pairs);
      }
    }
  }
  float* to = p.sums + row_tile * kTile * p.sums_row + column_tile * kTile;
#pragma GCC unroll 16
  for (int r = 0; r < kTile; ++r) _mm512_storeu_ps(to + r * p.sums_row, sums[r]);
}

#undef FLOWSMITH_AVX512

template <int kRows, int kColumns>
void multiply(const TileProduct& p) {
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kColumns; ++j) multiply_tile(p, i, j);
  }
}

void nothing() {}

constexpr TileFunctions kTiles{
    "AVX512-BF16", nothing, nothing, {{multiply<1, 1>, multiply<1, 2>}, {multiply<2, 1>, multiply<2, 2>}}};

}  // namespace

const TileFunctions* avx512_tiles() {
  static const bool usable = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16");
  return usable ? &kTiles : nullptr;
}

}  // namespace flowsmith::core::cpu::bf16

#else

const flowsmith::core::cpu::bf16::TileFunctions* flowsmith::core::cpu::bf16::avx512_tiles() { return nullptr; }

#endif
