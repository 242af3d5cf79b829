// Images of fewer grey levels than the 256 of their bytes, as Glow (Kingma and Dhariwal 2018) trains on 5 bits. Images
// stay bytes everywhere; the kernels that read one reduce it on the way.
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

inline constexpr int kGreyLevels = 256;  ///< values of an 8-bit pixel

/// A power of two from 2 to 256: from one bit to all eight.
constexpr bool is_grey_level_count(int levels) {
  return levels >= 2 && levels <= kGreyLevels && (levels & (levels - 1)) == 0;
}

/// The level q of a pixel, 0 to levels - 1: its upper bits.
FLOWSMITH_HD inline int grey_level(std::uint8_t pixel, int levels) { return pixel * levels / kGreyLevels; }

/// The pixel that shows level q: floor(255 q / (levels - 1)), so that the last level is white. grey_level gives q back.
FLOWSMITH_HD inline std::uint8_t grey_value(int level, int levels) { return std::uint8_t(level * 255 / (levels - 1)); }

/// A pixel as networks see it: its level on [-1, 1].
template <class T>
FLOWSMITH_HD inline T grey_unit(std::uint8_t pixel, int levels) {
  return T(grey_level(pixel, levels)) / T(levels - 1) * T(2) - T(1);
}

}  // namespace flowsmith::core
