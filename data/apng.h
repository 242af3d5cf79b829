// Films as animated PNG files, which browsers play and other viewers show the first picture of.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "data/png.h"

namespace flowsmith::core {

/// Pictures of one size and number of channels, each shown for `milliseconds`, the last one for `last_milliseconds`,
/// again and again. The first picture is also what viewers without animation show. (PNG Specification, third edition
/// (2025), section 11.3.6: the chunks acTL, fcTL and fdAT.) Throws Error if there is no picture, if they differ in size
/// or if a time is not 1 to 65,535.
std::vector<std::byte> encode_apng(std::span<const Image> pictures, int milliseconds, int last_milliseconds);

}  // namespace flowsmith::core
