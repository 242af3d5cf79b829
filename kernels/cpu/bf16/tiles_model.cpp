// What TDPBF16PS does, in plain loops, after its operation in Intel's manual (volume 2): for each sum the products of a
// step's even rows and of its odd ones are added up apart, each from zero and by multiply-adds with one rounding; then
// the two are added to each other, and their sum to what was there. Numbers below the normal floats count as zero, in
// and out; rounding is to nearest even.
#include <cfloat>
#include <cmath>

#include "kernels/cpu/bf16/tiles.h"

namespace flowsmith::cpu::bf16 {
namespace {

float flush(float x) { return std::fabs(x) < FLT_MIN ? std::copysign(0.0f, x) : x; }

/// a and b have 8 digits: their product is exact in double, and rounding to double and then to float is as good as
/// rounding once, because double has more than twice the digits of float.
float multiply_add(float a, float b, float sum) { return flush(float(double(a) * b + sum)); }

/// Adds one step to a tile of sums.
void add_step(float (&sums)[kTile][kTile], const Bf16* a, std::ptrdiff_t a_row, const Bf16* b, std::ptrdiff_t b_row) {
  float columns[kDepth][kTile];
  for (int k = 0; k < kDepth; ++k) {
    for (int n = 0; n < kTile; ++n) columns[k][n] = flush(to_float(b[k / 2 * b_row + 2 * n + k % 2]));
  }
  for (int r = 0; r < kTile; ++r) {
    float half[2][kTile] = {};
    for (int k = 0; k < kDepth; ++k) {
      const float factor = flush(to_float(a[r * a_row + k]));
      for (int n = 0; n < kTile; ++n) half[k % 2][n] = multiply_add(factor, columns[k][n], half[k % 2][n]);
    }
    for (int n = 0; n < kTile; ++n) sums[r][n] = flush(flush(sums[r][n]) + flush(half[0][n] + half[1][n]));
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

const TileFunctions kModelTiles{nothing, nothing, {{multiply<1, 1>, multiply<1, 2>}, {multiply<2, 1>, multiply<2, 2>}}};

}  // namespace flowsmith::cpu::bf16
