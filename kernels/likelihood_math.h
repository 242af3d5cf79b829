// The formula of importance weighting, shared by host and device.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/types.h"

namespace flowsmith::core {

/// log((1/m) sum_j exp(log_prob[j*stride])), j < m, shifted by the largest term.
FLOWSMITH_HD inline double shifted_log_mean_exp(const double* log_prob, int m, std::size_t stride) {
  double largest = -std::numeric_limits<double>::infinity();
  for (int j = 0; j < m; ++j) {
    const double term = log_prob[j * stride];
    if (std::isnan(term)) return term;
    if (term > largest) largest = term;
  }
  if (std::isinf(largest)) return largest;  // inf - inf would be NaN
  double sum = 0;
  for (int j = 0; j < m; ++j) sum += std::exp(log_prob[j * stride] - largest);
  return largest + std::log(sum / m);
}

}  // namespace flowsmith::core
