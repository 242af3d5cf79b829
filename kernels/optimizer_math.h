// The formulas of optimizer.h, shared by host and device.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/optimizer.h"

namespace flowsmith::core {

/// The factor that brings a gradient of norm `norm` down to max_norm: min(1, max_norm / (norm + 1e-6)), and 1 without
/// clipping.
FLOWSMITH_HD inline double clip_factor(double norm, double max_norm) {
  if (max_norm <= 0) return 1;
  const double factor = max_norm / (norm + 1e-6);
  return factor >= 1 ? 1 : factor;  // a NaN norm stays visible
}

/// Whether a step counts: loss and gradient are finite, and the step before it counted. Then *steps_taken becomes its
/// number.
FLOWSMITH_HD inline bool admit_step(std::int64_t* steps_taken, double grad_squared_norm, double loss,
                                    std::int64_t step) {
  if (!std::isfinite(loss) || !std::isfinite(grad_squared_norm) || *steps_taken < step - 1) return false;
  *steps_taken = step;
  return true;
}

/// What an Adam step has in common for all parameters.
struct AdamRates {
  double beta1, beta2, eps;
  double rate;          ///< lr / (1 - beta1^step)
  double v_correction;  ///< 1 - beta2^step
};

FLOWSMITH_HD inline AdamRates adam_rates(const AdamOptions& options, std::int64_t step) {
  return {options.beta1, options.beta2, options.eps, options.lr / (1 - std::pow(options.beta1, double(step))),
          1 - std::pow(options.beta2, double(step))};
}

/// x, or 0 if it is smaller than the smallest normal number.
template <class T>
FLOWSMITH_HD inline T without_subnormals(T x) {
  constexpr T kSmallest = std::numeric_limits<T>::min();
  return x < kSmallest && x > -kSmallest ? T(0) : x;
}

/// One parameter; `g` is its gradient, scaled.
template <class T>
FLOWSMITH_HD inline void adam_update(T& param, T& m, T& v, double g, const AdamRates& rates) {
  m = without_subnormals(T(rates.beta1 * m + (1 - rates.beta1) * g));
  v = without_subnormals(T(rates.beta2 * v + (1 - rates.beta2) * g * g));
  param -= T(rates.rate * m / (std::sqrt(v / rates.v_correction) + rates.eps));
}

}  // namespace flowsmith::core
