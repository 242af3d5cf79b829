// Mean and deviation of the columns of a table, for flows that standardize their data.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace flowsmith::core {

struct ColumnStatistics {
  std::vector<double> mean, deviation;
};

/// Writes the rows of these numbers one after the other.
using FetchRows = std::function<void(std::span<const std::uint32_t> numbers, std::span<double> rows)>;

/// Mean and standard deviation (over N, not N - 1) of each column over the rows of `index`, in one pass for each.
/// Throws Error that names `table` and the column if one is constant, or holds numbers too large for it.
ColumnStatistics measure_columns(const std::string& table, std::span<const std::uint32_t> index, std::size_t columns,
                                 const FetchRows& fetch);

}  // namespace flowsmith::core
