#include "models/analysis/normality.h"

#include <algorithm>
#include <cmath>

#include "engine/tensor.h"

namespace flowsmith::core {

double normal_share(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

Normality normality(std::vector<double> values) {
  require(!values.empty(), "nothing can be compared with a normal distribution");
  const double n = double(values.size());
  double mean = 0, variance = 0, distance = 0;
  for (const double value : values) mean += value / n;
  for (const double value : values) variance += (value - mean) * (value - mean) / n;
  std::sort(values.begin(), values.end());
  for (std::size_t i = 0; i < values.size(); ++i) {
    // The share of values jumps from i / n to (i + 1) / n here.
    const double share = normal_share(values[i]);
    distance = std::max({distance, share - double(i) / n, double(i + 1) / n - share});
  }
  return {mean, std::sqrt(variance), distance};
}

}  // namespace flowsmith::core
