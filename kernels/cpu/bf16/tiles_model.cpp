// What TDPBF16PS does, in plain loops, after its operation in Intel's manual (volume 2): for each sum the products of a
// step's even rows and of its odd ones are added up apart, each from zero and by multiply-adds with one rounding; then
// the two are added to each other, and their sum to what was there. Numbers below the normal floats count as zero, in
// and out; rounding is to nearest even.
#include <bit>

#include "kernels/cpu/bf16/tiles.h"

namespace flowsmith::core::cpu::bf16 {
namespace {

/// In integers, from which the compiler makes vectors.
float flush(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x), sign = 0x80000000, exponent = 0x7f800000;
  return std::bit_cast<float>(bits & ((bits & exponent) == 0 ? sign : ~std::uint32_t(0)));
}

/// sums[n] += factor * column[n]. Both have 8 digits: their product is exact in double, and rounding to double and then
/// to float is as good as rounding once, because double has more than twice the digits of float.
void multiply_add(float* __restrict sums, float factor, const float* __restrict column) {
#pragma omp simd
  for (int n = 0; n < kTile; ++n) sums[n] = flush(float(double(factor) * double(column[n]) + double(sums[n])));
}

/// Adds one step to a tile of sums.
void add_step(float (&sums)[kTile][kTile], const Bf16* a, std::ptrdiff_t a_row, const Bf16* b, std::ptrdiff_t b_row) {
  float columns[kDepth][kTile];
  for (int k = 0; k < kDepth; ++k) {
    for (int n = 0; n < kTile; ++n) columns[k][n] = flush(to_float(b[k / 2 * b_row + 2 * n + k % 2]));
  }
  for (int r = 0; r < kTile; ++r) {
    float even[kTile] = {}, odd[kTile] = {};
    for (int k = 0; k < kDepth; k += 2) {
      multiply_add(even, flush(to_float(a[r * a_row + k])), columns[k]);
      multiply_add(odd, flush(to_float(a[r * a_row + k + 1])), columns[k + 1]);
    }
    for (int n = 0; n < kTile; ++n) sums[r][n] = flush(flush(sums[r][n]) + flush(even[n] + odd[n]));
  }
}

template <int kRows, int kColumns>
void multiply(const TileProduct& p) {
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kColumns; ++j) {
      float sums[kTile][kTile];
      for (int r = 0; r < kTile; ++r) {
        for (int n = 0; n < kTile; ++n) sums[r][n] = p.start[(i * kTile + r) * p.start_row + j * kTile + n];
      }
      const Bf16* b = p.b + j * p.b_tile;
      for (int outer = 0; outer < p.outer_steps; ++outer) {
        for (int inner = 0; inner < p.inner_steps; ++inner, b += kTile * p.b_row) {
          add_step(sums, p.a + i * kTile * p.a_row + outer * p.a_outer + inner * kDepth, p.a_row, b, p.b_row);
        }
      }
      for (int r = 0; r < kTile; ++r) {
        for (int n = 0; n < kTile; ++n) p.sums[(i * kTile + r) * p.sums_row + j * kTile + n] = sums[r][n];
      }
    }
  }
}

void nothing() {}

}  // namespace

const TileFunctions kModelTiles{
    "model of AMX", nothing, nothing, {{multiply<1, 1>, multiply<1, 2>}, {multiply<2, 1>, multiply<2, 2>}}};

}  // namespace flowsmith::core::cpu::bf16
