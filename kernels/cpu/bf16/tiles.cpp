#include "kernels/cpu/bf16/tiles.h"

namespace flowsmith::cpu::bf16 {

const TileFunctions* hardware_tiles() {
  static const TileFunctions* const tiles = amx_tiles() != nullptr ? amx_tiles() : avx512_tiles();
  return tiles;
}

}  // namespace flowsmith::cpu::bf16
