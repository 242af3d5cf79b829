// Batch normalisation: sums over groups of images, elements over threads and in vectors.
//
// The moments take one pass over memory: with d = x - first, `first` being the channel's first value,
// mean = first + sum(d)/m and m var = sum(d^2) - sum(d)^2/m. As `first` is one of the m values,
// (first - mean)^2 <= m var, so what cancels is at most m times what is left and var keeps all but log2(m) of the 53
// bits.
#include "kernels/batch_norm.h"

#include <algorithm>

#include "kernels/batch_norm_math.h"
#include "kernels/cpu/channel_rows.h"

namespace flowsmith::core {
namespace {

using cpu::ChannelValues;

/// logdet += sign * h*w * sum of log rstd.
void add_log_rstd(double* logdet, double sign, const double* var, double eps, MapShape shape) {
  if (!logdet) return;
  double sum = 0;
  for (int k = 0; k < shape.c; ++k) sum += batch_norm_log_rstd(var[k], eps);
  for (int n = 0; n < shape.n; ++n) logdet[n] += sign * double(shape.pixels()) * sum;
}

/// What batch norm makes of the channels.
struct Lines {
  template <class T>
  Lines(const double* mean, const double* var, const T* gamma, const T* beta, double eps, int c)
      : center(mean, mean + c), scale(c), offset(c) {
    for (int k = 0; k < c; ++k) {
      scale[k] = batch_norm_rstd(var[k], eps) * batch_norm_gamma(gamma, k);
      if (beta) offset[k] = beta[k];
    }
  }
  cpu::ChannelLine activated(Activation activation) const { return {center, scale, offset, activation}; }

  ChannelValues center, scale, offset;
};

}  // namespace

template <class T>
void batch_moments(double* mean, double* var, const T* x, MapShape shape, Cpu) {
  const double m = double(shape.n * shape.pixels());
  const ChannelValues first(x, x + shape.c);
  const cpu::ChannelSums sums = cpu::channel_moments(x, first, shape);
  for (int k = 0; k < shape.c; ++k) {
    mean[k] = first[k] + sums.first[k] / m;
    var[k] = (sums.second[k] - sums.first[k] * sums.first[k] / m) / m;
    if (var[k] < 0) var[k] = 0;  // by rounding; not a number stays that
  }
}

template <class T>
void batch_norm_forward(T* y, double* logdet, const T* x, const double* mean, const double* var, const T* gamma,
                        const T* beta, double eps, Activation activation, MapShape shape, Cpu) {
  const Lines lines(mean, var, gamma, beta, eps, shape.c);
  cpu::write_channel_lines<T>({y}, x, lines.activated(activation), shape);
  add_log_rstd(logdet, 1, var, eps, shape);
}

template <class T>
void batch_norm_inverse(T* x, double* logdet, const T* y, const double* mean, const double* var, double eps,
                        MapShape shape, Cpu) {
  ChannelValues scale(shape.c);
  for (int k = 0; k < shape.c; ++k) scale[k] = std::sqrt(var[k] + eps);
  cpu::write_channel_lines<T>({x}, y, {ChannelValues(shape.c), scale, ChannelValues(mean, mean + shape.c)}, shape);
  add_log_rstd(logdet, -1, var, eps, shape);
}

template <class T>
void batch_norm_backward(Grad<T> dx, Grad<T> dgamma, Grad<T> dbeta, const T* dy, const double* dlogdet, const T* x,
                         const double* mean, const double* var, const T* gamma, const T* beta, double eps,
                         Activation activation, NormStatistics statistics, MapShape shape, Cpu) {
  const double m = double(shape.n * shape.pixels());
  const Lines lines(mean, var, gamma, beta, eps, shape.c);
  const cpu::ChannelLine line = lines.activated(activation);
  const bool fixed = statistics == NormStatistics::kFixed;
  cpu::ChannelSums sums{ChannelValues(shape.c), ChannelValues(shape.c)};
  if (dgamma || dbeta || (dx && !fixed)) sums = cpu::channel_products(dy, x, line, shape);
  double mean_dlogdet = 0;
  for (int n = 0; dlogdet && n < shape.n; ++n) mean_dlogdet += dlogdet[n] / shape.n;
  ChannelValues factor(shape.c), rest(shape.c), slope(shape.c);
  for (int k = 0; k < shape.c; ++k) {
    const double rstd = batch_norm_rstd(var[k], eps), sum_dy_xh = rstd * sums.second[k];
    if (dgamma) dgamma.write(k, T(sum_dy_xh));
    if (dbeta) dbeta.write(k, T(sums.first[k]));
    const double scale = batch_norm_gamma(gamma, k);
    const BatchNormGradient gradient =
        fixed ? batch_norm_fixed_gradient(rstd, scale)
              : batch_norm_gradient(rstd, scale, sums.first[k], sum_dy_xh, m, mean_dlogdet);
    factor[k] = gradient.scale;
    rest[k] = gradient.rest;
    slope[k] = gradient.slope;
  }
  if (!dx) return;
  if (fixed && activation == Activation::kNone) {
    const ChannelValues zero(shape.c);
    cpu::write_channel_lines(dx, dy, {zero, factor, zero}, shape);
  } else {
    cpu::write_channel_planes(dx, dy, x, line, factor, rest, slope, shape);
  }
}

void update_running(double* running_mean, double* running_var, const double* batch_mean, const double* batch_var, int c,
                    std::size_t count, double momentum, const double* loss, const double* squared_norm, Cpu) {
  update_running(running_mean, running_var, batch_mean, batch_var, c, count, momentum, loss, squared_norm, Reference{});
}

#define FLOWSMITH_INSTANTIATE(T)                                                                                     \
  template void batch_moments(double*, double*, const T*, MapShape, Cpu);                                            \
  template void batch_norm_forward(T*, double*, const T*, const double*, const double*, const T*, const T*, double,  \
                                   Activation, MapShape, Cpu);                                                       \
  template void batch_norm_inverse(T*, double*, const T*, const double*, const double*, double, MapShape, Cpu);      \
  template void batch_norm_backward(Grad<T>, Grad<T>, Grad<T>, const T*, const double*, const T*, const double*,     \
                                    const double*, const T*, const T*, double, Activation, NormStatistics, MapShape, \
                                    Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
