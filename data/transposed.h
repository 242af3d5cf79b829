// Images whose file has them column by column.
#pragma once

#include <cstdint>
#include <vector>

namespace flowsmith::core {

/// The images (n, rows, cols, channels) as (n, cols, rows, channels): y and x change places.
std::vector<std::uint8_t> transposed(const std::vector<std::uint8_t>& images, int rows, int cols, int channels);

}  // namespace flowsmith::core
