// Box-Muller for one pair of words, shared by every backend.
#pragma once

#include <cmath>

#include "kernels/noise.h"

namespace flowsmith::core {

struct NormalPair {
  double first, second;
};

/// r = sqrt(-2 log u1); (r cos(2 pi u2), r sin(2 pi u2)). u1 > 0 always, so r is finite (at most 5.77).
FLOWSMITH_HD inline NormalPair box_muller(std::uint32_t word1, std::uint32_t word2) {
  constexpr double kTwoPi = 6.283185307179586476925;
  const double r = std::sqrt(-2 * std::log(double(word_to_uniform(word1))));
  const double angle = kTwoPi * word_to_uniform(word2);
  return {r * std::cos(angle), r * std::sin(angle)};
}

}  // namespace flowsmith::core
