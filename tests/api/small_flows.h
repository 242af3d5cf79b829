// Configurations of small flows, and data for them.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace flowsmith::api_testing {

/// A flow of 8 x 8 images with a squeeze and a split: two latents, few parameters.
inline std::string image_config() {
  return R"({"name": "small", "data": {"type": "image8", "height": 8, "width": 8},
             "layers": [{"type": "coupling", "conditioner": {"type": "gated_resnet", "hidden": 4, "blocks": 1}},
                        {"type": "squeeze"}, {"type": "split"},
                        {"type": "coupling", "mask": "channel",
                         "conditioner": {"type": "gated_resnet", "hidden": 4, "blocks": 1}}]})";
}

/// Affine couplings of D numbers.
inline std::string row_config(int dims = 2, int couplings = 2, bool standardize = false) {
  return R"({"name": "rows", "data": {"type": "vector", "dims": )" + std::to_string(dims) + R"(, "standardize": )" +
         (standardize ? "true" : "false") + R"(}, "layers": [{"type": "coupling", "mask": "alternating", "repeat": )" +
         std::to_string(couplings) + R"(, "conditioner": {"type": "mlp", "hidden": [8]}}]})";
}

inline std::vector<std::uint8_t> some_images(int n, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::vector<std::uint8_t> pixels(std::size_t(n) * 64);
  for (std::uint8_t& pixel : pixels) pixel = std::uint8_t(random() >> 24);
  pixels.front() = 0;
  pixels.back() = 255;
  return pixels;
}

inline std::vector<double> some_rows(int n, int dims = 2, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::vector<double> rows(std::size_t(n) * std::size_t(dims));
  for (double& value : rows) value = double(random()) / 4294967296.0 * 4 - 2;
  return rows;
}

}  // namespace flowsmith::api_testing
