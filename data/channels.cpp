#include "data/channels.h"

#include <cstddef>

namespace flowsmith::core {
namespace {

std::uint8_t luma(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
}

}  // namespace

std::vector<std::uint8_t> convert_channels(std::vector<std::uint8_t> pixels, int from, int to) {
  if (from == to) return pixels;
  if (to == 1) {  // in place: what is written has been read
    const std::size_t count = pixels.size() / 3;
    for (std::size_t i = 0; i < count; ++i) pixels[i] = luma(&pixels[3 * i]);
    pixels.resize(count);
    pixels.shrink_to_fit();
    return pixels;
  }
  std::vector<std::uint8_t> colour(3 * pixels.size());
  for (std::size_t i = 0; i < colour.size(); ++i) colour[i] = pixels[i / 3];
  return colour;
}

}  // namespace flowsmith::core
