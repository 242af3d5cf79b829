#include "data/transposed.h"

#include <algorithm>
#include <cstddef>

namespace flowsmith::core {

std::vector<std::uint8_t> transposed(const std::vector<std::uint8_t>& images, int rows, int cols, int channels) {
  std::vector<std::uint8_t> result(images.size());
  const std::size_t size = std::size_t(rows) * std::size_t(cols) * std::size_t(channels);
  for (std::size_t image = 0; image < images.size(); image += size) {
    for (int y = 0; y < rows; ++y) {
      for (int x = 0; x < cols; ++x) {
        const auto from = images.begin() + std::ptrdiff_t(image + (std::size_t(y) * cols + x) * channels);
        std::copy_n(from, channels, result.begin() + std::ptrdiff_t(image + (std::size_t(x) * rows + y) * channels));
      }
    }
  }
  return result;
}

}  // namespace flowsmith::core
