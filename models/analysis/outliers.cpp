#include "models/analysis/outliers.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "engine/tensor.h"

namespace flowsmith::core {

double complexity(std::span<const std::uint8_t> image) {
  require(!image.empty(), "there is no image");
  uLongf size = compressBound(uLong(image.size()));
  std::vector<Bytef> packed(size);
  require(compress2(packed.data(), &size, image.data(), uLong(image.size()), Z_BEST_COMPRESSION) == Z_OK,
          "zlib cannot compress the image");
  return 8 * double(size) / double(image.size());
}

// By ranks: the sum of those of the outliers, less the least that it could be, over the number of pairs (Mann and
// Whitney).
double auroc(std::span<const double> data, std::span<const double> outliers) {
  require(!data.empty() && !outliers.empty(), "there must be numbers of both kinds");
  std::vector<std::pair<double, int>> all;
  for (const double value : data) all.emplace_back(value, 0);
  for (const double value : outliers) all.emplace_back(value, 1);
  for (const auto& [value, kind] : all) require(!std::isnan(value), "a score is not a number");
  std::sort(all.begin(), all.end());
  double ranks = 0;
  for (std::size_t begin = 0; begin < all.size();) {
    std::size_t end = begin, of_outliers = 0;
    for (; end < all.size() && all[end].first == all[begin].first; ++end) of_outliers += std::size_t(all[end].second);
    ranks += double(of_outliers) * (double(begin + end) + 1) / 2;  // equal numbers share the mean of their ranks
    begin = end;
  }
  const double n = double(outliers.size());
  return (ranks - n * (n + 1) / 2) / (n * double(data.size()));
}

}  // namespace flowsmith::core
