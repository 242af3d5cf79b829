#include "engine/column_statistics.h"

#include <algorithm>
#include <cmath>

#include "engine/file.h"
#include "kernels/error.h"

namespace flowsmith::core {

ColumnStatistics measure_columns(const std::string& table, std::span<const std::uint32_t> index, std::size_t columns,
                                 const FetchRows& fetch) {
  constexpr std::size_t kPiece = 1024;  // rows at a time, so that a table need not be in memory
  const double count = static_cast<double>(index.size());
  std::vector<double> rows;
  const auto for_each_row = [&](auto&& visit) {
    for (std::size_t begin = 0; begin < index.size(); begin += kPiece) {
      const std::size_t n = std::min(kPiece, index.size() - begin);
      rows.resize(n * columns);
      fetch(index.subspan(begin, n), rows);
      for (std::size_t i = 0; i < n; ++i) visit(&rows[i * columns]);
    }
  };
  ColumnStatistics found{std::vector<double>(columns, 0.0), std::vector<double>(columns, 0.0)};
  std::vector<double> least(columns, INFINITY), most(columns, -INFINITY);
  for_each_row([&](const double* row) {
    for (std::size_t c = 0; c < columns; ++c) {
      found.mean[c] += row[c] / count;
      least[c] = std::min(least[c], row[c]);
      most[c] = std::max(most[c], row[c]);
    }
  });
  for_each_row([&](const double* row) {
    for (std::size_t c = 0; c < columns; ++c) {
      const double distance = row[c] - found.mean[c];
      found.deviation[c] += distance * distance / count;
    }
  });
  for (std::size_t c = 0; c < columns; ++c) {
    found.deviation[c] = std::sqrt(found.deviation[c]);
    const std::string column = "column " + std::to_string(c + 1) + " of " + in_quotes(table);
    if (least[c] == most[c] || found.deviation[c] == 0) {
      throw Error(column + " is constant over the training examples and cannot be standardized; remove it");
    }
    if (!std::isfinite(found.deviation[c])) {
      throw Error(column + " holds numbers too large to standardize; scale it down");
    }
  }
  return found;
}

}  // namespace flowsmith::core
