// Batch normalisation: the formulas of batch_norm.h, element by element.
#include "kernels/batch_norm.h"

#include <algorithm>
#include <vector>

#include "kernels/batch_norm_math.h"

namespace flowsmith::core {

template <class T>
void batch_moments(double* mean, double* var, const T* x, MapShape shape, Reference) {
  const double m = double(shape.n * shape.pixels());
  std::fill_n(mean, shape.c, 0.0);
  std::fill_n(var, shape.c, 0.0);
  for (std::size_t i = 0; i < shape.size(); ++i) mean[i % shape.c] += x[i];
  for (int k = 0; k < shape.c; ++k) mean[k] /= m;
  for (std::size_t i = 0; i < shape.size(); ++i) var[i % shape.c] += std::pow(x[i] - mean[i % shape.c], 2);
  for (int k = 0; k < shape.c; ++k) var[k] /= m;
}

template <class T>
void batch_norm_forward(T* y, double* logdet, const T* x, const double* mean, const double* var, const T* gamma,
                        const T* beta, double eps, Activation activation, MapShape shape, Reference) {
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const int k = int(i % shape.c);
    y[i] = batch_norm_line(mean, var, gamma, beta, eps, activation, k)(x[i]);
    if (logdet) logdet[i / shape.image_size()] += batch_norm_log_rstd(var[k], eps);
  }
}

template <class T>
void batch_norm_inverse(T* x, double* logdet, const T* y, const double* mean, const double* var, double eps,
                        MapShape shape, Reference) {
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const int k = int(i % shape.c);
    x[i] = T(y[i] * std::sqrt(var[k] + eps) + mean[k]);
    if (logdet) logdet[i / shape.image_size()] -= batch_norm_log_rstd(var[k], eps);
  }
}

template <class T>
void batch_norm_backward(Grad<T> dx, Grad<T> dgamma, Grad<T> dbeta, const T* dy, const double* dlogdet, const T* x,
                         const double* mean, const double* var, const T* gamma, const T* beta, double eps,
                         Activation activation, NormStatistics statistics, MapShape shape, Reference) {
  const double m = double(shape.n * shape.pixels());
  const auto before_activation = [&](std::size_t i) {
    return batch_norm_line(mean, var, gamma, beta, eps, activation, int(i % shape.c)).before(dy[i], x[i]);
  };
  std::vector<double> sum_dy(shape.c), sum_dy_xh(shape.c);
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const int k = int(i % shape.c);
    const double d = before_activation(i);
    sum_dy[k] += d;
    sum_dy_xh[k] += d * (x[i] - mean[k]) * batch_norm_rstd(var[k], eps);
  }
  double mean_dlogdet = 0;
  for (int n = 0; dlogdet && n < shape.n; ++n) mean_dlogdet += dlogdet[n] / shape.n;
  for (std::size_t i = 0; dx && i < shape.size(); ++i) {
    const int k = int(i % shape.c);
    const double rstd = batch_norm_rstd(var[k], eps), scale = batch_norm_gamma(gamma, k);
    const BatchNormGradient gradient = statistics == NormStatistics::kFixed
                                           ? batch_norm_fixed_gradient(rstd, scale)
                                           : batch_norm_gradient(rstd, scale, sum_dy[k], sum_dy_xh[k], m, mean_dlogdet);
    dx.write(i, T(gradient.scale * before_activation(i) - gradient.rest - (x[i] - mean[k]) * gradient.slope));
  }
  for (int k = 0; dgamma && k < shape.c; ++k) dgamma.write(k, T(sum_dy_xh[k]));
  for (int k = 0; dbeta && k < shape.c; ++k) dbeta.write(k, T(sum_dy[k]));
}

void update_running(double* running_mean, double* running_var, const double* batch_mean, const double* batch_var, int c,
                    std::size_t count, double momentum, const double* loss, const double* squared_norm, Reference) {
  if (!std::isfinite(*loss) || !std::isfinite(*squared_norm)) return;
  for (int k = 0; k < c; ++k) {
    running_mean[k] = running_average(running_mean[k], batch_mean[k], momentum);
    running_var[k] = running_average(running_var[k], unbiased_variance(batch_var[k], count), momentum);
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                                                      \
  template void batch_moments(double*, double*, const T*, MapShape, Reference);                                       \
  template void batch_norm_forward(T*, double*, const T*, const double*, const double*, const T*, const T*, double,   \
                                   Activation, MapShape, Reference);                                                  \
  template void batch_norm_inverse(T*, double*, const T*, const double*, const double*, double, MapShape, Reference); \
  template void batch_norm_backward(Grad<T>, Grad<T>, Grad<T>, const T*, const double*, const T*, const double*,      \
                                    const double*, const T*, const T*, double, Activation, NormStatistics, MapShape,  \
                                    Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
