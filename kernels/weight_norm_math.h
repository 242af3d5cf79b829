// The formulas of weight_norm.h for one output channel, shared by every backend.
#pragma once

#include <cmath>

#include "kernels/weight_norm.h"

namespace flowsmith::core {

/// 1 / |v| from the sum of squares of v.
FLOWSMITH_HD inline double inverse_weight_norm(double squares) {
  return 1 / std::sqrt(squares + kWeightNormEps * kWeightNormEps);
}

/// dv[k] = of_dw * dw[k] - of_v * v[k], and dg.
struct WeightNormGradient {
  double of_dw, of_v, dg;
};

/// `products` is the sum of dw * v.
FLOWSMITH_HD inline WeightNormGradient weight_norm_gradient(double squares, double products, double g) {
  const double inverse = inverse_weight_norm(squares);
  // The share of dw along v, a number that is never larger than |dw| / |v|: no power of |v| above 1 can leave the
  // range.
  const double along = products * inverse * inverse;
  return {g * inverse, g * inverse * along, products * inverse};
}

}  // namespace flowsmith::core
