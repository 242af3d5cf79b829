// The products of bf16 matrices, in the tiles of Intel's AMX: 16 x 16 sums in float, 32 products deep.
//
// Floor: one TDPBF16PS is 16 * 16 * 32 multiply-adds and starts every 16 cycles (Intel's optimization manual), so a
// core does 1024 operations per cycle at most, 16 times the 64 of two AVX-512 units in float. Two by two tiles of sums
// need a load of one tile per instruction; a load starts every 8 cycles, so from the first-level cache they are not
// what limits. AVX512-BF16 is another story: VDPBF16PS does twice the products of a multiply-add in float, in the same
// time at best.
//
// What a product gives, to the bit, is that of the instruction; the sums of AMX and of AVX512-BF16 are rounded in
// another order. tiles_model.cpp says how AMX does it.
#pragma once

#include <cstddef>

#include "kernels/cpu/bf16/bf16.h"
#include "kernels/types.h"

namespace flowsmith::core::cpu::bf16 {

inline constexpr int kTile = 16;          ///< rows and columns of a tile of sums
inline constexpr int kDepth = 32;         ///< products that one step adds to each sum
inline constexpr int kBlock = 2 * kTile;  ///< most rows and columns of a TileProduct

/// sums[r][n] = start[r][n] + sum over steps s and k < kDepth of a[r][s][k] * b[s][k][n], for one or two tiles of rows
/// and of columns. Step s is number `inner` of group `outer`, s = outer * inner_steps + inner. Distances are in
/// elements.
struct TileProduct {
  const Bf16* a = nullptr;  ///< row r of a step: kDepth numbers at a + r * a_row + outer * a_outer + inner * kDepth
  std::ptrdiff_t a_row = 0, a_outer = 0;
  /// Rows of b come in pairs, the two numbers of a column side by side: those of rows 2q and 2q + 1 of step s, column n
  /// of tile t, at b + (s * kTile + q) * b_row + t * b_tile + 2 * n.
  const Bf16* b = nullptr;
  std::ptrdiff_t b_row = 0, b_tile = 0;
  int outer_steps = 1, inner_steps = 1;
  const float* start = nullptr;  ///< may be `sums`
  std::ptrdiff_t start_row = 0;  ///< 0: all rows start alike
  float* sums = nullptr;
  std::ptrdiff_t sums_row = 0;
};

struct TileFunctions {
  const char* name;
  /// What a thread calls before its first product and after its last.
  void (*begin)();
  void (*end)();
  void (*multiply[2][2])(const TileProduct&);  ///< [tiles of rows - 1][tiles of columns - 1]
};

/// The tiles of a thread for as long as this lives.
class TileScope {
 public:
  explicit TileScope(const TileFunctions& tiles) : tiles_(tiles) { tiles.begin(); }
  ~TileScope() { tiles_.end(); }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;

 private:
  const TileFunctions& tiles_;
};

/// Plain loops that do what AMX does: for tests.
extern const TileFunctions kModelTiles;
/// By Intel's AMX, and by AVX512-BF16; null where this processor or its operating system does not have them.
const TileFunctions* amx_tiles();
const TileFunctions* avx512_tiles();

/// The fastest instructions of this machine, or null.
const TileFunctions* hardware_tiles();

/// Operations per second, a multiply-add counting two, of all OpenMP threads together when they do nothing but products
/// for about `seconds`.
double measure_tile_peak(const TileFunctions& tiles, double seconds);

/// What a stream with precision kBf16 multiplies with. One without tile_model exists on machines that have the
/// instructions only.
inline const TileFunctions& tiles_of(Cpu cpu) { return cpu.tile_model ? kModelTiles : *hardware_tiles(); }

}  // namespace flowsmith::core::cpu::bf16
