// The log-determinant of a map, from nothing but its values: the independent check of every logdet.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

namespace flowsmith::testing {

/// log|det a| of a square matrix given by rows: Gaussian elimination with row pivots.
inline double log_abs_det(std::vector<std::vector<double>> a) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    std::size_t pivot = k;
    for (std::size_t i = k + 1; i < a.size(); ++i) {
      if (std::abs(a[i][k]) > std::abs(a[pivot][k])) pivot = i;
    }
    std::swap(a[k], a[pivot]);
    sum += std::log(std::abs(a[k][k]));
    for (std::size_t i = k + 1; i < a.size(); ++i) {
      const double factor = a[i][k] / a[k][k];
      for (std::size_t j = k; j < a.size(); ++j) a[i][j] -= factor * a[k][j];
    }
  }
  return sum;
}

/// The bound for a logdet against log_abs_det_jacobian. With values and derivatives of order 1 each difference
/// is off by about 1e-10; the size of x and the condition of the Jacobian multiply that.
inline constexpr double kLogDetError = 1e-6;

/// log|det df/dx| at x for f: vector<double> -> vector<double> of the same size, by central differences.
template <class F>
double log_abs_det_jacobian(const F& f, std::vector<double> x, double step = 1e-5) {
  std::vector<std::vector<double>> columns;  // the transpose has the same determinant
  for (double& value : x) {
    const double kept = value;
    value = kept + step;
    std::vector<double> column = f(x);
    value = kept - step;
    const std::vector<double> below = f(x);
    value = kept;
    for (std::size_t i = 0; i < column.size(); ++i) column[i] = (column[i] - below[i]) / (2 * step);
    columns.push_back(std::move(column));
  }
  return log_abs_det(std::move(columns));
}

}  // namespace flowsmith::testing
