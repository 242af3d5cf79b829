// The one function of channel_affine.h that has no backend.
#include "kernels/channel_affine.h"

#include <cmath>

namespace flowsmith::core {

ChannelStatistics channel_statistics(const std::vector<double>& values, MapShape shape, double factor) {
  const std::size_t pixels = shape.n * shape.pixels();
  ChannelStatistics statistics;
  for (int k = 0; k < shape.c; ++k) {
    double sum = 0, squares = 0;
    for (std::size_t p = 0; p < pixels; ++p) sum += values[p * shape.c + k];
    const double mean = sum / double(pixels);
    for (std::size_t p = 0; p < pixels; ++p) {
      const double distance = values[p * shape.c + k] - mean;
      squares += distance * distance;
    }
    statistics.bias.push_back(-mean);
    statistics.log_scale.push_back(-std::log(std::sqrt(squares / double(pixels)) + 1e-6) / factor);
  }
  return statistics;
}

}  // namespace flowsmith::core
