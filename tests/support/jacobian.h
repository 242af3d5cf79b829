// The log-determinant of a map, from nothing but its values: the independent check of every logdet.
#pragma once

#include <vector>

#include "kernels/linear_algebra.h"

namespace flowsmith::core::testing {

/// The bound for a logdet against log_abs_det_jacobian. With values and derivatives of order 1 each difference
/// is off by about 1e-10; the size of x and the condition of the Jacobian multiply that.
inline constexpr double kLogDetError = 1e-6;

/// log|det df/dx| at x for f: vector<double> -> vector<double> of the same size, by central differences.
template <class F>
double log_abs_det_jacobian(const F& f, std::vector<double> x, double step = 1e-5) {
  std::vector<double> columns;  // one after the other: the transpose has the same determinant
  for (double& value : x) {
    const double kept = value;
    value = kept + step;
    const std::vector<double> above = f(x);
    value = kept - step;
    const std::vector<double> below = f(x);
    value = kept;
    for (std::size_t i = 0; i < x.size(); ++i) columns.push_back((above[i] - below[i]) / (2 * step));
  }
  return log_abs_det(columns, int(x.size()));
}

}  // namespace flowsmith::core::testing
