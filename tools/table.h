// Tables for people, which fit the terminal.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "engine/text.h"
#include "kernels/types.h"
#include "tools/progress.h"

namespace flowsmith::core {

/// "8 x 7 x 7", channels, rows and columns of a map; of a vector its length.
inline std::string map_text(MapShape s) {
  if (s.h == 1 && s.w == 1) return std::to_string(s.c);
  return std::to_string(s.c) + " x " + std::to_string(s.h) + " x " + std::to_string(s.w);
}

/// A number with four digits behind the point.
inline std::string decimals(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

struct TableColumn {
  std::string title;
  bool text = false;  ///< of words: aligned to the left, and broken at spaces where the table would be too wide
  int rank = 0;       ///< where breaking words is not enough, the columns with the largest rank go first; 0 stays
};

/// `rows`, each with a cell for every column, below the titles, in at most `width` columns if that can be. Columns that
/// are left out are named in a last line.
inline std::string table_text(std::vector<TableColumn> columns, std::vector<std::vector<std::string>> rows, int width) {
  constexpr std::size_t kGap = 2, kLeastText = 20;
  std::vector<std::string> titles;
  for (const TableColumn& column : columns) titles.push_back(column.title);
  rows.insert(rows.begin(), titles);
  std::vector<std::size_t> widths;
  const auto total = [&] {
    std::size_t sum = 0;
    for (const std::size_t w : widths) sum += w + kGap;
    return int(sum) - int(kGap);
  };
  const auto measure = [&] {
    widths.assign(columns.size(), 0);
    for (const auto& row : rows) {
      for (std::size_t c = 0; c < columns.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
    }
    // Words give way, the widest column first.
    while (total() > width) {
      std::size_t widest = columns.size();
      for (std::size_t c = 0; c < columns.size(); ++c) {
        if (columns[c].text && widths[c] > kLeastText && (widest == columns.size() || widths[c] > widths[widest])) {
          widest = c;
        }
      }
      if (widest == columns.size()) return;
      --widths[widest];
    }
  };
  std::string left_out;
  for (measure(); total() > width; measure()) {
    const auto last =
        std::max_element(columns.begin(), columns.end(), [](const auto& a, const auto& b) { return a.rank < b.rank; });
    if (last->rank == 0) break;
    left_out = (left_out.empty() ? last->title : last->title + ", " + left_out);
    const auto index = last - columns.begin();
    columns.erase(last);
    for (auto& row : rows) row.erase(row.begin() + index);
  }
  std::string text;
  for (const auto& row : rows) {
    std::vector<std::vector<std::string>> cells;  // of each column, its lines
    std::size_t height = 1;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      std::vector<std::string> lines;
      const std::string cell = columns[c].text ? wrapped(row[c], widths[c]) : row[c];
      for (std::size_t at = 0; at <= cell.size();) {
        const std::size_t end = std::min(cell.find('\n', at), cell.size());
        lines.push_back(cell.substr(at, end - at));
        at = end + 1;
      }
      height = std::max(height, lines.size());
      cells.push_back(std::move(lines));
    }
    for (std::size_t i = 0; i < height; ++i) {
      std::string line;
      for (std::size_t c = 0; c < columns.size(); ++c) {
        const std::string cell = i < cells[c].size() ? cells[c][i] : "";
        const std::string pad(widths[c] - std::min(widths[c], cell.size()), ' ');
        line += (c > 0 ? std::string(kGap, ' ') : "") + (columns[c].text ? cell + pad : pad + cell);
      }
      text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
  }
  if (!left_out.empty()) text += wrapped("not shown in so few columns: " + left_out, std::size_t(width)) + "\n";
  return text;
}

/// On stdout. What is no terminal takes any width: programs read there, a line for each row.
inline void print_table(const std::vector<TableColumn>& columns, std::vector<std::vector<std::string>> rows) {
  constexpr int kAnyWidth = 100000;
  const int width = isatty(fileno(stdout)) ? terminal_columns(stdout) : kAnyWidth;
  std::fputs(table_text(columns, std::move(rows), width).c_str(), stdout);
}

/// A number as printf writes it.
inline std::string number_text(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace flowsmith::core
