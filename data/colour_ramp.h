// Numbers as colours, from few to many.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace flowsmith::core {

/// Five colours in equal steps: red, green and blue of 0 to 255.
using ColourRamp = std::array<std::array<double, 3>, 5>;

inline constexpr ColourRamp kDarkRamp = {
    {{14, 17, 33}, {62, 38, 122}, {184, 52, 126}, {249, 136, 78}, {255, 244, 204}}};
inline constexpr ColourRamp kLightRamp = {
    {{255, 255, 255}, {170, 208, 238}, {76, 144, 206}, {32, 76, 158}, {10, 22, 70}}};

/// The colour at `share` of the way, 0 to 1; others are taken to the nearer end.
inline std::array<std::uint8_t, 3> colour_at(const ColourRamp& ramp, double share) {
  const double place = (share > 0 ? (share < 1 ? share : 1) : 0) * double(ramp.size() - 1);
  const std::size_t step = place < double(ramp.size() - 2) ? std::size_t(place) : ramp.size() - 2;
  const double rest = place - double(step);
  std::array<std::uint8_t, 3> colour{};
  for (std::size_t c = 0; c < 3; ++c) {
    colour[c] = std::uint8_t((1 - rest) * ramp[step][c] + rest * ramp[step + 1][c] + 0.5);
  }
  return colour;
}

}  // namespace flowsmith::core
