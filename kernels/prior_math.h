// The log-density of prior.h, shared by every backend.
#pragma once

#include <cstddef>

#include "kernels/types.h"

namespace flowsmith::core {

/// log N(z; 0, 1) of `elements` independent numbers whose squares sum to `sum_of_squares`.
FLOWSMITH_HD inline double standard_normal_log_density(double sum_of_squares, std::size_t elements) {
  constexpr double kHalfLog2Pi = 0.918938533204672741780;  // log(2 pi) / 2
  return -sum_of_squares / 2 - double(elements) * kHalfLog2Pi;
}

}  // namespace flowsmith::core
