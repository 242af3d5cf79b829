#include "data/csv.h"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "engine/file.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

constexpr std::uint64_t kMaxFile = std::uint64_t{1} << 30;
constexpr std::string_view kBlanks = " \t\r";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::size_t kPiece = 1 << 16;

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& path) : text_(text), path_(path) {
    if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
  }

  Table parse() {
    Table table;
    std::size_t blank_line = 0;
    while (!text_.empty()) {
      const std::string_view line = next_line();
      if (line.empty()) {
        if (blank_line == 0) blank_line = line_;
        continue;
      }
      if (blank_line != 0) fail("line " + std::to_string(blank_line) + " is blank and rows follow it", "remove it");
      if (line_ == 1 && is_header(line)) continue;
      const std::size_t columns = parse_row(line, table.values);
      if (table.rows == 0) table.columns = columns;
      if (columns != table.columns) {
        fail("line " + std::to_string(line_) + " has " + std::to_string(columns) + " columns and the first row " +
                 std::to_string(table.columns),
             "give every row the same");
      }
      ++table.rows;
    }
    if (table.rows == 0) fail("it has no row of numbers", "give a table with one row per line");
    return table;
  }

 private:
  [[noreturn]] void fail(const std::string& why, const std::string& remedy) const {
    throw Error("cannot read " + in_quotes(path_) + ": " + why + "; " + remedy);
  }

  std::string_view next_line() {
    const std::size_t end = std::min(text_.find('\n'), text_.size());
    const std::string_view line = trimmed(text_.substr(0, end));
    text_.remove_prefix(std::min(end + 1, text_.size()));
    ++line_;
    return line;
  }

  // The first field up to the line's first separator, whatever that is.
  static bool is_header(std::string_view line) {
    if (std::string_view("0123456789+-.,;").find(line.front()) != std::string_view::npos) return false;
    const std::string_view first = line.substr(0, line.find_first_of(",; \t"));
    double ignored = 0;  // "nan" and "inf" are numbers, which parse_row refuses
    return std::from_chars(first.data(), first.data() + first.size(), ignored).ptr != first.data() + first.size();
  }

  // The character that parts this line's columns, ' ' for any blanks. All lines must have the same; a line of one
  // column has none.
  char separator_of(std::string_view line) {
    const bool comma = line.find(',') != std::string_view::npos, semicolon = line.find(';') != std::string_view::npos;
    const bool blank = line.find_first_of(" \t") != std::string_view::npos;
    if (!comma && !semicolon && !blank) return ' ';
    const char separator = comma ? ',' : semicolon ? ';' : ' ';
    if (separator_ == 0) separator_ = separator;
    if ((comma && semicolon) || separator != separator_) {
      fail("line " + std::to_string(line_) + " mixes separators",
           "part columns by one of comma, semicolon and blanks, and give decimals a point");
    }
    return separator;
  }

  std::size_t parse_row(std::string_view line, std::vector<double>& values) {
    const char separator = separator_of(line);
    std::size_t columns = 0;
    bool more = true;
    while (more) {
      const std::size_t end = separator == ' ' ? line.find_first_of(" \t") : line.find(separator);
      more = end != std::string_view::npos;
      const std::string_view field = trimmed(line.substr(0, end));
      if (more) line = separator == ' ' ? trimmed(line.substr(end)) : line.substr(end + 1);
      if (++columns > kMaxColumns) {
        fail("line " + std::to_string(line_) + " has more than " + std::to_string(kMaxColumns) + " columns",
             "give a narrower table");
      }
      values.push_back(number(field, columns));
    }
    return columns;
  }

  double number(std::string_view field, std::size_t column) const {
    const std::string place = "line " + std::to_string(line_) + ", column " + std::to_string(column);
    if (field.empty()) fail(place + " is empty", "give every row a number in every column");
    std::string_view digits = field;
    if (digits.starts_with('+') && !digits.starts_with("+-")) digits.remove_prefix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc::result_out_of_range) {
      fail(place + ": " + in_quotes(field, 40) + " is beyond the range of a double", "scale the column");
    }
    if (error != std::errc() || end != digits.data() + digits.size()) {
      fail(place + ": " + in_quotes(field, 40) + " is not a number",
           "give numbers only, below at most one header line");
    }
    if (!std::isfinite(value)) fail(place + ": " + in_quotes(field, 40) + " is not finite", "remove such rows");
    return value;
  }

  std::string_view text_;
  const std::string& path_;
  std::size_t line_ = 0;
  char separator_ = 0;
};

}  // namespace

Table read_csv(const std::string& path) {
  const std::string text = read_text_file(path, kMaxFile);
  return Parser(text, path).parse();
}

void write_csv(const std::string& path, std::span<const double> values, std::size_t columns) {
  if (columns == 0 || values.size() % columns != 0) {
    throw Error("cannot write " + in_quotes(path) + ": " + std::to_string(values.size()) +
                " numbers are not whole rows of " + std::to_string(columns) + "; give whole rows");
  }
  AtomicFile file(path);
  std::string text;
  std::array<char, 32> number;  // the longest, such as -2.2250738585072014e-308, has 24
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto [end, error] = std::to_chars(number.data(), number.data() + number.size(), values[i]);
    text.append(number.data(), end);
    text += (i + 1) % columns == 0 ? '\n' : ',';
    if (text.size() >= kPiece) {
      file.write(text);
      text.clear();
    }
  }
  file.write(text);
  file.commit();
}

}  // namespace flowsmith::core
