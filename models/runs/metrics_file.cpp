#include "models/runs/metrics_file.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/file.h"

namespace flowsmith::core {
namespace {

constexpr std::uint64_t kLargestFile = std::uint64_t{1} << 30;

std::vector<std::string_view> cells_of(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::vector<std::string_view> cells;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find(',', begin), line.size());
    cells.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return cells;
}

struct Columns {
  std::size_t step = 0, training = 0, validation = 0, test = 0, speed = 0, count = 0;
  std::string unit;
};

/// What the header says; nothing if it is not one of ours.
std::optional<Columns> columns_of(std::string_view header) {
  Columns columns;
  const std::vector<std::string_view> names = cells_of(header);
  columns.count = names.size();
  const auto find = [&](const std::string& name) -> std::optional<std::size_t> {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == name) return i;
    }
    return std::nullopt;
  };
  for (const auto& [suffix, unit] : {std::pair{"_bpd", "bits/dim"}, {"_nats", "nats"}}) {
    const std::string end = suffix;
    const auto step = find("step"), training = find("train" + end), validation = find("val" + end),
               test = find("test" + end), speed = find(end == "_bpd" ? "images_per_second" : "rows_per_second");
    if (!step || !training || !validation || !test || !speed) continue;
    return Columns{*step, *training, *validation, *test, *speed, names.size(), unit};
  }
  return std::nullopt;
}

}  // namespace

RunMetrics read_metrics(const std::string& path) {
  const std::string text = read_text_file(path, kLargestFile);
  const std::size_t end_of_header = text.find('\n');
  const auto columns = columns_of(std::string_view(text).substr(0, end_of_header));
  if (!columns) throw Error(path + ": not the metrics.csv of a run: its first line names no step, train and val");
  RunMetrics metrics{columns->unit, {}, {}, {}, {}};
  std::size_t line_number = 1;
  for (std::size_t begin = end_of_header + 1; end_of_header != std::string::npos && begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    ++line_number;
    const std::vector<std::string_view> cells = cells_of(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    const auto fail = [&](const std::string& what) {
      throw Error(path + ", line " + std::to_string(line_number) + ": " + what);
    };
    if (cells.size() != columns->count) {
      fail(std::to_string(cells.size()) + " cells where the header has " + std::to_string(columns->count));
    }
    const auto number_in = [&](std::size_t column) -> std::optional<double> {
      const std::string_view cell = cells[column];
      if (cell.empty()) return std::nullopt;
      double value = 0;
      const auto [stop, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
      if (error != std::errc() || stop != cell.data() + cell.size()) fail(in_quotes(cell, 40) + " is no number");
      return std::isfinite(value) ? std::optional(value) : std::nullopt;
    };
    const auto step = number_in(columns->step);
    if (!step) fail("there is no step");
    const auto add = [&](MetricCurve& curve, std::size_t column) {
      const auto value = number_in(column);
      if (!value) return;
      curve.steps.push_back(*step);
      curve.values.push_back(*value);
    };
    add(metrics.training, columns->training);
    add(metrics.validation, columns->validation);
    add(metrics.test, columns->test);
    add(metrics.speed, columns->speed);
  }
  return metrics;
}

MetricCurve thinned(const MetricCurve& curve, std::size_t most) {
  const std::size_t count = curve.steps.size();
  if (count <= most) return curve;
  MetricCurve thin;
  for (std::size_t k = 0; k < most; ++k) {
    const std::size_t begin = count * k / most, end = count * (k + 1) / most;
    double step = 0, value = 0;
    for (std::size_t i = begin; i < end; ++i) {
      step += curve.steps[i] / double(end - begin);
      value += curve.values[i] / double(end - begin);
    }
    thin.steps.push_back(step);
    thin.values.push_back(value);
  }
  return thin;
}

}  // namespace flowsmith::core
