// Grey and colour.
#pragma once

#include <cstdint>
#include <vector>

namespace flowsmith::core {

/// Pixels of `from` channels as pixels of `to`, each 1 (grey) or 3 (red, green, blue). Colour becomes its luma by Rec.
/// ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, rounded to the nearest; grey becomes three equal bytes.
std::vector<std::uint8_t> convert_channels(std::vector<std::uint8_t> pixels, int from, int to);

}  // namespace flowsmith::core
