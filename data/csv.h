// Tables of numbers as text.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace flowsmith::core {

constexpr std::size_t kMaxColumns = 1024;  ///< of a table of numbers

struct Table {
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::vector<double> values;  ///< (rows, columns)
};

/// Reads a table of at most 1 GiB: a row per line, columns parted by comma, semicolon, or spaces and tabs; one of the
/// three in the whole file. Decimals have a point. The first line is a header, and left out, if it begins with a word:
/// neither a number nor a digit, sign or point. Lines may end in CRLF; blank lines are passed over at the end only.
/// Throws an Error that names the file, and the line and column of the first thing that is no number, is not finite or
/// does not fit a double, or the first line of another length; or if there is no row, or there are more than 1024
/// columns.
Table read_csv(const std::string& path);

/// Writes `values`, (rows, columns), one row per line, parted by commas, each number in the fewest digits that read_csv
/// turns into the same double. Atomic. Throws Error if the values are not whole rows or the file cannot be written.
void write_csv(const std::string& path, std::span<const double> values, std::size_t columns);

}  // namespace flowsmith::core
