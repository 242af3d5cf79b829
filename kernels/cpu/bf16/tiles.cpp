#include "kernels/cpu/bf16/tiles.h"

#include <chrono>

namespace flowsmith::cpu::bf16 {

const TileFunctions* hardware_tiles() {
  static const TileFunctions* const tiles = amx_tiles() != nullptr ? amx_tiles() : avx512_tiles();
  return tiles;
}

double measure_tile_peak(const TileFunctions& tiles, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  constexpr int kSteps = 4, kRounds = 64;  // 16 KiB of factors, walked through kRounds times
  double operations = 0;
#pragma omp parallel reduction(+ : operations)
  {
    alignas(64) Bf16 a[kBlock * kSteps * kDepth] = {}, b[kBlock * kSteps * kDepth] = {};
    alignas(64) float sums[kBlock * kBlock] = {};
    TileProduct product;
    product.a = a;
    product.a_row = kSteps * kDepth;
    product.b = b;
    product.b_row = kBlock;
    product.b_tile = kSteps * kTile * kBlock;
    product.inner_steps = kSteps;
    product.start = product.sums = sums;
    product.start_row = product.sums_row = kBlock;
    const TileScope scope(tiles);
    do {
      for (int round = 0; round < kRounds; ++round) tiles.multiply[1][1](product);
      operations += 2.0 * kRounds * kBlock * kBlock * kSteps * kDepth;
    } while (elapsed() < seconds);
  }
  return operations / elapsed();
}

}  // namespace flowsmith::cpu::bf16
