#include "tools/pictures/scale_curve_view.h"

#include <cmath>

namespace flowsmith::core {

std::vector<ScaleCurve> scale_curves(const std::vector<double>& factors) {
  constexpr double kReach = 6;
  constexpr int kPoints = 241;
  std::vector<ScaleCurve> curves;
  for (const double f : factors) {
    ScaleCurve curve{f, {}, {}};
    for (int i = 0; i < kPoints; ++i) {
      curve.s.push_back(-kReach + 2 * kReach * i / (kPoints - 1));
      curve.log_scale.push_back(f * std::tanh(curve.s.back() / f));
    }
    curves.push_back(std::move(curve));
  }
  return curves;
}

Figure scale_curves_figure(const std::vector<ScaleCurve>& curves) {
  Chart chart{.x = {.label = "s, what the network says"}, .y = {.label = "log-scale f tanh(s / f)"}};
  for (const ScaleCurve& curve : curves) {
    char name[40];
    std::snprintf(name, sizeof name, "f = %.3g", curve.factor);
    chart.series.push_back(
        {.name = name, .x = curve.s, .y = curve.log_scale, .stroke = series_stroke(chart.series.size(), 2)});
  }
  return {.title = "How far a coupling may stretch",
          .description = "Curves of f tanh(s / f), which begin as s and level off at f",
          .panels = {chart},
          .panel_width = 560,
          .panel_height = 400};
}

}  // namespace flowsmith::core
