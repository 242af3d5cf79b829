// How the layers of a flow compute, as a chart.
#pragma once

#include <vector>

#include "models/flow.h"
#include "tools/pictures/figure.h"

namespace flowsmith::core {

/// Two bars for each coupling, its smallest and its largest log-scale, and one for how near the mean of its
/// log-determinant is to its bound. Flows without couplings give a figure without panels.
Figure health_figure(const std::vector<Flow::LayerHealth>& layers);

}  // namespace flowsmith::core
