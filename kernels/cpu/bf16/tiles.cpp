#include "kernels/cpu/bf16/tiles.h"

#include <chrono>

namespace flowsmith::core::cpu::bf16 {

const TileFunctions* hardware_tiles() {
  static const TileFunctions* const tiles = amx_tiles() != nullptr ? amx_tiles() : avx512_tiles();
  return tiles;
}

double measure_tile_peak(const TileFunctions& tiles, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  constexpr int kSteps = 256;  // so many that the sums' own loads and stores cost nothing beside them
  double operations = 0;
#pragma omp parallel reduction(+ : operations)
  {
    // All rows lie in one place: nothing but the instructions themselves can take time.
    alignas(64) Bf16 a[kSteps * kDepth] = {}, b[2 * kTile] = {};
    alignas(64) float sums[kBlock * kBlock] = {};
    TileProduct product;
    product.a = a;
    product.b = b;
    product.inner_steps = kSteps;
    product.start = product.sums = sums;
    product.start_row = product.sums_row = kBlock;
    const TileScope scope(tiles);
    do {
      tiles.multiply[1][1](product);
      operations += 2.0 * kBlock * kBlock * kSteps * kDepth;
    } while (elapsed() < seconds);
  }
  return operations / elapsed();
}

}  // namespace flowsmith::core::cpu::bf16
