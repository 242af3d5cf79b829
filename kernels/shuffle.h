// Random orders: Fisher and Yates on the words of a noise stream, each of the n! orders equally likely.
#pragma once

#include <vector>

#include "kernels/noise.h"

namespace flowsmith::core {

/// Shuffles `items`; the order is a function of the stream alone.
void shuffle(std::vector<std::uint32_t>& items, NoiseStream stream);

}  // namespace flowsmith::core
