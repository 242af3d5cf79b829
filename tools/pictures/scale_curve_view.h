// How a coupling's log-scale is bounded.
#pragma once

#include <vector>

#include "tools/pictures/figure.h"

namespace flowsmith::core {

/// f tanh(s / f) for s of -6 to 6.
struct ScaleCurve {
  double factor;  ///< f
  std::vector<double> s, log_scale;
};

std::vector<ScaleCurve> scale_curves(const std::vector<double>& factors);
Figure scale_curves_figure(const std::vector<ScaleCurve>& curves);

}  // namespace flowsmith::core
