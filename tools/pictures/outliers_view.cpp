#include "tools/pictures/outliers_view.h"

#include <algorithm>
#include <cmath>

#include "models/analysis/outliers.h"

namespace flowsmith::core {
namespace {

constexpr int kBins = 60;
constexpr double kTail = 0.005;  // share of the numbers that may lie outside at each end

/// From the lower to the upper tail of all numbers.
Range range_of(const OutlierScore& score) {
  std::vector<double> all = score.data;
  all.insert(all.end(), score.others.begin(), score.others.end());
  std::sort(all.begin(), all.end());
  const std::size_t out = std::size_t(kTail * double(all.size()));
  Range range{all[out], all[all.size() - 1 - out]};
  if (!(range.length() > 0)) range = {range.low - 0.5, range.high + 0.5};
  return range;
}

Series histogram(const std::string& name, const std::vector<double>& values, const Range& range, Ink ink) {
  Series bars{.kind = Series::Kind::kBars,
              .name = name,
              .x = {},
              .y = std::vector<double>(kBins),
              .stroke = {.ink = ink, .opacity = 0.6}};
  const double width = range.length() / kBins;
  for (int i = 0; i <= kBins; ++i) bars.x.push_back(range.low + i * width);
  for (const double value : values) {
    const double bin = (value - range.low) / width;
    if (!(bin >= 0 && bin <= kBins)) continue;
    bars.y[std::min(std::size_t(bin), std::size_t(kBins - 1))] += 1 / (double(values.size()) * width);
  }
  return bars;
}

}  // namespace

Figure outliers_figure(const std::vector<OutlierScore>& scores, const std::string& data, const std::string& others) {
  Figure figure{.title = "Scores of " + data + " and of " + others,
                .description = "Two histograms for each score:",
                .panels = {},
                .columns = 2,
                .panel_width = 430,
                .panel_height = 290};
  for (const OutlierScore& score : scores) {
    char area[40];
    std::snprintf(area, sizeof area, ", AUROC %.3f", auroc(score.data, score.others));
    const Range range = range_of(score);
    figure.description += " " + score.name + area + ";";
    figure.panels.push_back(Chart{.title = score.name + area,
                                  .x = {.range = range},
                                  .y = {.label = "density"},
                                  .series = {histogram(data, score.data, range, Ink::kBlue),
                                             histogram(others, score.others, range, Ink::kVermilion)}});
  }
  return figure;
}

}  // namespace flowsmith::core
