// Rounding to bf16, and products of tiles: the model against exact sums and against what the manual says of rounding;
// the instructions, where this machine has them, against the model to the bit.
#include <cfloat>
#include <cstdio>

#include "tests/support/tile_data.h"

namespace flowsmith::core::cpu::bf16 {
namespace {

TEST_CASE("rounding to bf16 takes the nearest, of two the even one, and keeps infinity and NaN") {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> values = random_normal<float>(2000, 1);
  for (std::size_t i = 0; i < values.size(); i += 2) values[i] = std::ldexp(values[i], int(i % 280) - 140);
  // Halfway between two, and beside it; the first beyond the largest; below the normal floats.
  for (float x : {1.0f + 0x1p-8f, 1.0f + 3 * 0x1p-8f, 1.0f + 0x1p-8f + 0x1p-23f, 1.0f + 0x1p-8f - 0x1p-23f, 0.0f,
                  FLT_MAX, 0x1.fep127f, 0x1.ffp127f, FLT_MIN, 0x1p-133f, 0x1p-134f, 3 * 0x1p-134f, 0x1p-149f}) {
    values.push_back(x);
  }
  for (float x : values) {
    CAPTURE(x);
    for (const float value : {x, -x}) {
      const Bf16 got = to_bf16(value);
      // The candidates: the same sign and upper half, and the next one away from zero.
      const Bf16 low = Bf16(std::bit_cast<std::uint32_t>(value) >> 16), high = Bf16(low + 1);
      // Beyond the largest number infinity stands for 2^128.
      const auto wide = [](Bf16 b) {
        const double d = to_float(b);
        return std::isinf(d) ? std::copysign(0x1p128, d) : d;
      };
      const double below = std::abs(double(value) - wide(low)), above = std::abs(wide(high) - double(value));
      CHECK(got == (below < above ? low : above < below ? high : low % 2 == 0 ? low : high));
    }
  }
  for (float value : {infinity, -infinity}) CHECK(to_float(to_bf16(value)) == value);
  CHECK(std::isnan(to_float(to_bf16(nan))));
  CHECK(std::isnan(to_float(to_bf16(-nan))));
  CHECK(std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7f800001u)))));  // its upper half alone would be infinite
}

TEST_CASE("products of tiles add up what they should, and write nothing else") {
  for (int rows : {1, 2}) {
    for (int columns : {1, 2}) {
      const Problem problem(rows, columns, 3);
      const std::vector<float> got = problem.run(kModelTiles);
      for (int i = 0; i < int(got.size()); ++i) {
        const int r = i / Problem::kSumsRow, n = i % Problem::kSumsRow;
        if (r >= rows * kTile || n >= columns * kTile) {
          CHECK(got[i] == -1);
          continue;
        }
        double want = problem.start[i], size = std::abs(want);
        problem.for_each_pair(r, n, [&](const Bf16* a, const Bf16* b) {
          for (int k : {0, 1}) {
            const double term = double(to_float(a[k])) * to_float(b[k]);
            want += term;
            size += std::abs(term);
          }
        });
        // Six steps of some twenty roundings, each of 2^-24 of what has been added up so far.
        CHECK(std::abs(got[i] - want) <= 6 * 20 * 0x1p-24 * size);
      }
    }
  }
}

/// One step with one row of a and one column of b that are not zero.
float one_sum(const std::vector<float>& left, const std::vector<float>& right, float start) {
  std::vector<Bf16> a(kTile * kDepth), b(kTile * kBlock);
  for (std::size_t k = 0; k < left.size(); ++k) {
    a[k] = to_bf16(left[k]);
    b[k / 2 * kBlock + k % 2] = to_bf16(right[k]);
  }
  std::vector<float> sums(kTile * kTile, start);
  TileProduct p;
  p.a = a.data(), p.a_row = kDepth;
  p.b = b.data(), p.b_row = kBlock;
  p.start = p.sums = sums.data();
  p.start_row = p.sums_row = kTile;
  kModelTiles.multiply[0][0](p);
  return sums[0];
}

TEST_CASE("the model of a product rounds in the order of Intel's manual") {
  // Even and odd products apart: 2^24 + 1 + 1 in one sum would lose both ones, in two it loses none.
  CHECK(one_sum({0x1p24f, 1, 0, 1}, {1, 1, 1, 1}, 0) == 0x1p24f + 2);
  CHECK(one_sum({0x1p24f, 0, 1, 0, 1}, {1, 1, 1, 1, 1}, 0) == 0x1p24f);
  // The step's sum first, then what was there.
  CHECK(one_sum({1, 1}, {1, 1}, 0x1p24f) == 0x1p24f + 2);
  CHECK(one_sum({-0x1p24f, 1}, {1, 1}, 0x1p24f) == 1);
  // A product and a sum are rounded once: 1 + 2^-14 + ..., whose last digit would be lost in a float product added
  // later.
  CHECK(one_sum({1.0f + 0x1p-7f, 0, -1}, {1.0f + 0x1p-7f, 0, 1}, 0) == 0x1p-6f + 0x1p-14f);
}

TEST_CASE("the model of a product takes what is below the normal floats as zero") {
  CHECK(one_sum({0x1p-130f}, {0x1p100f}, 0) == 0);       // a factor
  CHECK(one_sum({0x1p-100f}, {0x1p-100f}, 0) == 0);      // a sum
  CHECK(one_sum({0}, {0}, 0x1p-130f) == 0);              // what was there
  CHECK(one_sum({0x1p-63f}, {0x1p-63f}, 0) == FLT_MIN);  // the smallest that counts
  CHECK(std::isnan(one_sum({std::numeric_limits<float>::infinity()}, {0}, 0)));
}

TEST_CASE("AMX gives the bits of its model") {
  if (amx_tiles() == nullptr) return void(std::puts("skipped: this machine has no AMX with bf16"));
  for_each_problem([](const Problem& problem) { CHECK(problem.run(*amx_tiles()) == problem.run(kModelTiles)); });
}

TEST_CASE("AVX512-BF16 gives the bits of Intel's manual") {
  if (avx512_tiles() == nullptr) return void(std::puts("skipped: this machine has no AVX512-BF16"));
  for_each_problem([](const Problem& problem) { CHECK(problem.run(*avx512_tiles()) == sums_by_pairs(problem)); });
}

TEST_CASE("the instructions of this machine are AMX if it has that") {
  CHECK(hardware_tiles() == (amx_tiles() != nullptr ? amx_tiles() : avx512_tiles()));
}

}  // namespace
}  // namespace flowsmith::core::cpu::bf16
