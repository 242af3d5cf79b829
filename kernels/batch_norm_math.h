// The formulas of a channel, shared by every backend.
#pragma once

#include <cmath>

#include "kernels/activation_math.h"

namespace flowsmith::core {

FLOWSMITH_HD inline double batch_norm_rstd(double var, double eps) { return 1 / std::sqrt(var + eps); }
/// h*w of these are the log-determinant.
FLOWSMITH_HD inline double batch_norm_log_rstd(double var, double eps) { return -0.5 * std::log(var + eps); }

/// gamma[k], or 1 where gamma is null.
template <class T>
FLOWSMITH_HD inline double batch_norm_gamma(const T* gamma, int k) {
  return gamma == nullptr ? 1.0 : double(gamma[k]);
}

/// What a channel makes of an x.
template <class T>
struct BatchNormLine {
  double center, scale, offset;
  Activation activation;

  FLOWSMITH_HD T operator()(T x) const { return activate(activation, T((x - center) * scale + offset)); }
  /// The gradient in front of the activation from the one behind it.
  FLOWSMITH_HD double before(T dy, T x) const {
    return activation == Activation::kNone ? double(dy) : double(dy) * activation_derivative(activation, (*this)(x));
  }
};
template <class T>
FLOWSMITH_HD inline BatchNormLine<T> batch_norm_line(const double* mean, const double* var, const T* gamma,
                                                     const T* beta, double eps, Activation activation, int k) {
  return {mean[k], batch_norm_rstd(var[k], eps) * batch_norm_gamma(gamma, k), beta == nullptr ? 0.0 : double(beta[k]),
          activation};
}

/// What dx takes from the sums over the batch: dx = scale * dy - rest - (x - mean) * slope.
struct BatchNormGradient {
  double scale, rest, slope;
};

/// For fixed statistics.
FLOWSMITH_HD inline BatchNormGradient batch_norm_fixed_gradient(double rstd, double gamma) {
  return {rstd * gamma, 0, 0};
}

/// For those of the batch: sum_dy and sum_dy_xh over its m pixels, dlogdet the mean over its images.
FLOWSMITH_HD inline BatchNormGradient batch_norm_gradient(double rstd, double gamma, double sum_dy, double sum_dy_xh,
                                                          double m, double dlogdet) {
  return {rstd * gamma, rstd * gamma * sum_dy / m, rstd * rstd * (gamma * sum_dy_xh / m + dlogdet)};
}

/// The mean moves towards the batch's; so does the variance, times m/(m-1).
FLOWSMITH_HD inline double running_average(double running, double batch, double momentum) {
  return (1 - momentum) * running + momentum * batch;
}
FLOWSMITH_HD inline double unbiased_variance(double var, std::size_t count) {
  return var * (double(count) / (double(count) - 1));
}

}  // namespace flowsmith::core
