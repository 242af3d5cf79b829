// Products by AMX: two by two tiles of sums, two of rows and two of columns are the eight tiles there are.
//
// The intrinsics are inline assembly in GCC, which does not know that a load reads memory: all that they load was
// written before a call through a pointer, or is constant.
#include "kernels/cpu/bf16/tiles.h"

#if defined(__x86_64__) && defined(__linux__)

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace flowsmith::core::cpu::bf16 {
namespace {

#define FLOWSMITH_AMX __attribute__((target("amx-tile,amx-bf16")))

/// What LDTILECFG reads: eight tiles of 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);
constexpr TileConfig kConfig;

FLOWSMITH_AMX void begin() { _tile_loadconfig(&kConfig); }
FLOWSMITH_AMX void end() { _tile_release(); }

// Tiles are named by constants: 0 to 3 hold sums, [row][column]; 4 and 5 rows of a; 6 and 7 columns of b.
template <int kRows, int kColumns>
FLOWSMITH_AMX void multiply(const TileProduct& p) {
  const std::ptrdiff_t start_row = p.start_row * std::ptrdiff_t(sizeof(float)), start_below = kTile * p.start_row;
  _tile_loadd(0, p.start, start_row);
  if constexpr (kColumns == 2) _tile_loadd(1, p.start + kTile, start_row);
  if constexpr (kRows == 2) _tile_loadd(2, p.start + start_below, start_row);
  if constexpr (kRows == 2 && kColumns == 2) _tile_loadd(3, p.start + start_below + kTile, start_row);

  const std::ptrdiff_t a_row = p.a_row * std::ptrdiff_t(sizeof(Bf16)), b_row = p.b_row * std::ptrdiff_t(sizeof(Bf16));
  const Bf16* b = p.b;
  for (int outer = 0; outer < p.outer_steps; ++outer) {
    const Bf16* a = p.a + outer * p.a_outer;
    for (int inner = 0; inner < p.inner_steps; ++inner, a += kDepth, b += kTile * p.b_row) {
      _tile_loadd(6, b, b_row);
      _tile_loadd(4, a, a_row);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (kColumns == 2) {
        _tile_loadd(7, b + p.b_tile, b_row);
        _tile_dpbf16ps(1, 4, 7);
      }
      if constexpr (kRows == 2) {
        _tile_loadd(5, a + kTile * p.a_row, a_row);
        _tile_dpbf16ps(2, 5, 6);
      }
      if constexpr (kRows == 2 && kColumns == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }

  const std::ptrdiff_t sums_row = p.sums_row * std::ptrdiff_t(sizeof(float)), sums_below = kTile * p.sums_row;
  _tile_stored(0, p.sums, sums_row);
  if constexpr (kColumns == 2) _tile_stored(1, p.sums + kTile, sums_row);
  if constexpr (kRows == 2) _tile_stored(2, p.sums + sums_below, sums_row);
  if constexpr (kRows == 2 && kColumns == 2) _tile_stored(3, p.sums + sums_below + kTile, sums_row);
}

#undef FLOWSMITH_AMX

constexpr TileFunctions kTiles{"AMX", begin, end, {{multiply<1, 1>, multiply<1, 2>}, {multiply<2, 1>, multiply<2, 2>}}};

/// Linux lets a process use the tiles once it has asked: they make the state of a thread 8 KiB larger.
bool permitted() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

const TileFunctions* amx_tiles() {
  static const bool usable = __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") && permitted();
  return usable ? &kTiles : nullptr;
}

}  // namespace flowsmith::core::cpu::bf16

#else

const flowsmith::core::cpu::bf16::TileFunctions* flowsmith::core::cpu::bf16::amx_tiles() { return nullptr; }

#endif
