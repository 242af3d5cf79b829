// Learning curves of runs, in one chart.
#pragma once

#include <string>
#include <vector>

#include "models/runs/metrics_file.h"
#include "tools/pictures/figure.h"

namespace flowsmith::core {

struct NamedMetrics {
  std::string name;
  RunMetrics metrics;
};

/// Training as thin lines, means of neighbouring steps where there are many, validation as strong lines and the closing
/// test as spots. The axis of scores leaves out the first steps of a run, which may lie far above all others; on a
/// logarithmic one they are there. Throws Error if units differ, or no run has a number.
Figure curves_figure(const std::vector<NamedMetrics>& runs, bool logarithmic);

}  // namespace flowsmith::core
