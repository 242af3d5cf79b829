// The source of the products by AMX on machines without it: compiled here with tiles that are arrays, it must give the
// bits of the model. That a processor's tiles do the same, test_cpu_bf16_tiles.cpp checks where there is one.
#include "tests/support/tile_data.h"

#if defined(__x86_64__) && defined(__linux__)

#include <immintrin.h>

#include <cstring>

namespace flowsmith::core::cpu::bf16 {
namespace {

/// Rows of the eight tiles, as LDTILECFG of 16 rows of 64 bytes leaves them.
bool configured = false;
unsigned char rows_of[8][kTile][64];

void stand_in_loadconfig(const void* config) {
  unsigned char bytes[64], want[64] = {1};
  for (int tile = 0; tile < 8; ++tile) {
    want[16 + 2 * tile] = 64;
    want[48 + tile] = 16;
  }
  std::memcpy(bytes, config, sizeof bytes);
  CHECK(std::memcmp(bytes, want, sizeof bytes) == 0);
  std::memset(rows_of, 0, sizeof rows_of);
  configured = true;
}

void stand_in_release() { configured = false; }

void stand_in_load(int tile, const void* from, std::ptrdiff_t stride) {
  REQUIRE(configured);
  for (int r = 0; r < kTile; ++r) std::memcpy(rows_of[tile][r], static_cast<const char*>(from) + r * stride, 64);
}

void stand_in_store(int tile, void* to, std::ptrdiff_t stride) {
  REQUIRE(configured);
  for (int r = 0; r < kTile; ++r) std::memcpy(static_cast<char*>(to) + r * stride, rows_of[tile][r], 64);
}

void stand_in_multiply(int sums, int a, int b) {
  REQUIRE(configured);
  Bf16 left[kTile * kDepth], right[kTile * kDepth];
  float tile[kTile * kTile];
  std::memcpy(left, rows_of[a], sizeof left);
  std::memcpy(right, rows_of[b], sizeof right);
  std::memcpy(tile, rows_of[sums], sizeof tile);
  TileProduct step;
  step.a = left, step.a_row = kDepth;
  step.b = right, step.b_row = kDepth;
  step.start = step.sums = tile;
  step.start_row = step.sums_row = kTile;
  kModelTiles.multiply[0][0](step);
  std::memcpy(rows_of[sums], tile, sizeof tile);
}

}  // namespace
}  // namespace flowsmith::core::cpu::bf16

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig stand_in_loadconfig
#define _tile_release stand_in_release
#define _tile_loadd stand_in_load
#define _tile_stored stand_in_store
#define _tile_dpbf16ps stand_in_multiply
#define amx_tiles unused_amx_tiles
#include "kernels/cpu/bf16/tiles_amx.cpp"

namespace flowsmith::core::cpu::bf16 {
namespace {

TEST_CASE("the source for AMX, on arrays for tiles, gives the bits of the model") {
  for_each_problem([](const Problem& problem) {
    CHECK(problem.run(kTiles) == problem.run(kModelTiles));
    CHECK_FALSE(configured);  // released
  });
}

}  // namespace
}  // namespace flowsmith::core::cpu::bf16

#endif
