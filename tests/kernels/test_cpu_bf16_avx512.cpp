// The source of the products by AVX512-BF16 on machines with AVX-512 alone: compiled here with plain loops for its one
// new instruction.
#include "tests/support/tile_data.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

namespace flowsmith::core::cpu::bf16 {
namespace {

__attribute__((target("avx512f"))) __m512 stand_in_pairs(__m512 sums, __m512bh a, __m512bh b) {
  float lanes[kTile];
  Bf16 left[kDepth], right[kDepth];
  std::memcpy(lanes, &sums, sizeof lanes);
  std::memcpy(left, &a, sizeof left);
  std::memcpy(right, &b, sizeof right);
  for (int n = 0; n < kTile; ++n) lanes[n] = add_pair(lanes[n], left + 2 * n, right + 2 * n);
  std::memcpy(&sums, lanes, sizeof lanes);
  return sums;
}

}  // namespace
}  // namespace flowsmith::core::cpu::bf16

#define _mm512_dpbf16_ps stand_in_pairs
#define avx512_tiles unused_avx512_tiles
#include "kernels/cpu/bf16/tiles_avx512.cpp"

namespace flowsmith::core::cpu::bf16 {
namespace {

TEST_CASE("the source for AVX512-BF16, with plain loops for its instruction, gives the bits of Intel's manual") {
  // The compiler may use what comes with AVX512-BF16 beside that.
  if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl")) {
    return void(std::puts("skipped: this machine has no AVX-512"));
  }
  for_each_problem([](const Problem& problem) { CHECK(problem.run(kTiles) == sums_by_pairs(problem)); });
}

}  // namespace
}  // namespace flowsmith::core::cpu::bf16

#endif
