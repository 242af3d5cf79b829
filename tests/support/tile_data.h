// Products of tiles, and what AVX512-BF16 makes of them.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cfloat>
#include <cmath>
#include <vector>

#include "kernels/cpu/bf16/tiles.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::cpu::bf16 {

using testing::random_normal;

/// A product of `rows` by `columns` tiles, two groups of three steps, and what it works on.
struct Problem {
  static constexpr int kOuter = 2, kInner = 3, kARow = 200, kBRow = 70, kSumsRow = 40;
  int rows, columns;
  std::vector<Bf16> a, b;
  std::vector<float> start;

  Problem(int row_tiles, int column_tiles, std::uint64_t seed, double scale = 1)
      : rows(row_tiles), columns(column_tiles), a(kBlock * kARow), b(2 * kOuter * kInner * kTile * kBRow) {
    const auto rounded = [&](std::vector<Bf16>& to, std::uint64_t from) {
      const auto values = random_normal<float>(to.size(), from, scale);
      std::transform(values.begin(), values.end(), to.begin(), to_bf16);
    };
    rounded(a, seed);
    rounded(b, seed + 1);
    start = random_normal<float>(kBlock * kSumsRow, seed + 2, scale * scale);
  }

  TileProduct product(std::vector<float>& sums) const {
    TileProduct p;
    p.a = a.data(), p.a_row = kARow, p.a_outer = 100;
    p.b = b.data(), p.b_row = kBRow, p.b_tile = kOuter * kInner * kTile * kBRow;
    p.outer_steps = kOuter, p.inner_steps = kInner;
    p.start = start.data(), p.start_row = kSumsRow;
    p.sums = sums.data(), p.sums_row = kSumsRow;
    return p;
  }

  std::vector<float> run(const TileFunctions& tiles) const {
    std::vector<float> sums(kBlock * kSumsRow, -1);
    const TileScope scope(tiles);
    tiles.multiply[rows - 1][columns - 1](product(sums));
    return sums;
  }

  /// visit(pair of a, pair of b) for all pairs of a sum, in their order.
  template <class Visit>
  void for_each_pair(int r, int n, const Visit& visit) const {
    for (int s = 0; s < kOuter * kInner; ++s) {
      for (int q = 0; q < kTile; ++q) {
        const Bf16* const left = a.data() + r * kARow + s / kInner * 100 + s % kInner * kDepth + 2 * q;
        const Bf16* const right =
            b.data() + (n / kTile * kOuter * kInner * kTile + s * kTile + q) * kBRow + n % kTile * 2;
        visit(left, right);
      }
    }
  }
};

template <class Check>
void for_each_problem(const Check& check) {
  for (int rows : {1, 2}) {
    for (int columns : {1, 2}) {
      CAPTURE(rows, columns);
      // Ordinary numbers, and some whose products lie about the smallest normal float.
      check(Problem(rows, columns, 7));
      check(Problem(rows, columns, 8, 0x1p-63));
    }
  }
}

/// VDPBF16PS, after its operation in Intel's manual (volume 2): the second product of a pair is added first, then the
/// first, each by a multiply-add with one rounding; below the normal floats all is zero.
inline float add_pair(float sum, const Bf16* a, const Bf16* b) {
  const auto flush = [](double x) { return std::abs(x) < FLT_MIN ? std::copysign(0.0, x) : x; };
  for (int k : {1, 0}) sum = float(flush(float(flush(to_float(a[k])) * flush(to_float(b[k])) + flush(sum))));
  return sum;
}

/// The sums of a problem by AVX512-BF16.
inline std::vector<float> sums_by_pairs(const Problem& problem) {
  std::vector<float> sums(kBlock * Problem::kSumsRow, -1);
  for (int r = 0; r < problem.rows * kTile; ++r) {
    for (int n = 0; n < problem.columns * kTile; ++n) {
      float sum = problem.start[r * Problem::kSumsRow + n];
      problem.for_each_pair(r, n, [&](const Bf16* a, const Bf16* b) { sum = add_pair(sum, a, b); });
      sums[r * Problem::kSumsRow + n] = sum;
    }
  }
  return sums;
}

}  // namespace flowsmith::core::cpu::bf16
