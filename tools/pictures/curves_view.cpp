#include "tools/pictures/curves_view.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace flowsmith::core {
namespace {

constexpr std::size_t kMostPoints = 300;  // of a curve: about one for every other pixel

/// The range of scores once runs are past their beginning: a fiftieth of their training may lie above it, no
/// validation does.
Range settled_range(const std::vector<NamedMetrics>& runs) {
  constexpr double kBeginning = 0.02;
  std::vector<double> all;
  double low = INFINITY, high = -INFINITY;
  for (const auto& [name, metrics] : runs) {
    MetricCurve training = thinned(metrics.training, kMostPoints);
    std::sort(training.values.begin(), training.values.end(), std::greater<>());
    const std::size_t above = std::size_t(kBeginning * double(training.values.size())) + (training.values.size() > 4);
    for (std::size_t i = std::min(above, training.values.size()); i < training.values.size(); ++i) {
      all.push_back(training.values[i]);
    }
    all.insert(all.end(), metrics.validation.values.begin(), metrics.validation.values.end());
    all.insert(all.end(), metrics.test.values.begin(), metrics.test.values.end());
    if (all.empty()) all = training.values;
  }
  for (const double value : all) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  const double margin = 0.04 * (high - low);
  return {low - margin, high + margin};
}

/// Scores of numbers may be 0 or less.
bool all_positive(const RunMetrics& metrics) {
  for (const MetricCurve* const curve : {&metrics.training, &metrics.validation, &metrics.test}) {
    for (const double value : curve->values) {
      if (!(value > 0)) return false;
    }
  }
  return true;
}

}  // namespace

Figure curves_figure(const std::vector<NamedMetrics>& runs, bool logarithmic) {
  std::size_t points = 0;
  for (const auto& [name, metrics] : runs) {
    points += metrics.training.values.size() + metrics.validation.values.size() + metrics.test.values.size();
    if (metrics.unit != runs[0].metrics.unit) {
      throw Error(name + " counts in " + metrics.unit + " and " + runs[0].name + " in " + runs[0].metrics.unit +
                  ": draw them apart");
    }
    if (logarithmic && !all_positive(metrics)) {
      throw Error(name + " has scores of 0 or less, which a logarithmic axis cannot show");
    }
  }
  if (points == 0) throw Error("there is nothing to draw yet: no step was taken");
  Chart chart{.x = {.label = "step"}, .y = {.label = runs[0].metrics.unit, .logarithmic = logarithmic}};
  if (!logarithmic) chart.y.range = settled_range(runs);
  Figure figure{.title = runs.size() == 1 ? "Learning curve of " + runs[0].name : "Learning curves",
                .description = "Scores over training steps:",
                .panels = {},
                .panel_width = 760,
                .panel_height = 420};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto& [name, metrics] = runs[i];
    const std::string before = runs.size() == 1 ? "" : name + ", ";
    const MetricCurve training = thinned(metrics.training, kMostPoints);
    const MetricCurve validation = thinned(metrics.validation, kMostPoints);
    Stroke thin = series_stroke(i, 1), strong = series_stroke(i, 2.2);
    thin.opacity = 0.65;
    if (runs.size() == 1) {
      thin = {.ink = Ink::kSky, .width = 1.2};
      strong = series_stroke(1, 2.2);
    }
    if (!training.values.empty()) {
      chart.series.push_back(
          {.name = before + "training", .x = training.steps, .y = training.values, .stroke = thin, .tips = true});
    }
    if (!validation.values.empty()) {
      chart.series.push_back({.name = before + "validation",
                              .x = validation.steps,
                              .y = validation.values,
                              .stroke = strong,
                              .tips = true});
      char text[80];
      std::snprintf(text, sizeof text, " validation ends at %.4f %s;", validation.values.back(), metrics.unit.c_str());
      figure.description += " " + name + text;
    }
    if (!metrics.test.values.empty()) {
      chart.series.push_back({.kind = Series::Kind::kSpots,
                              .name = before + "test",
                              .x = metrics.test.steps,
                              .y = metrics.test.values,
                              .stroke = {.ink = strong.ink, .width = 4.5},
                              .tips = true});
    }
  }
  figure.panels.push_back(std::move(chart));
  return figure;
}

}  // namespace flowsmith::core
