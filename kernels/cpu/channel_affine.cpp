// One line per channel: images over threads, elements in vectors. Slopes are computed once per channel.
#include "kernels/channel_affine.h"

#include <cmath>

#include "kernels/channel_affine_math.h"
#include "kernels/cpu/channel_rows.h"

namespace flowsmith::core {
namespace {

using cpu::ChannelValues;

/// value(k) of every channel.
template <class Value>
ChannelValues of_channels(int c, const Value& value) {
  ChannelValues values(c);
  for (int k = 0; k < c; ++k) values[k] = value(k);
  return values;
}

/// logdet += sign * h*w * sum of the log-scales.
void add_log_scales(double* logdet, double sign, const float* log_scale, double factor, MapShape shape) {
  if (!logdet) return;
  double sum = 0;
  for (int k = 0; k < shape.c; ++k) sum += channel_log_scale(log_scale, factor, k);
  for (int n = 0; n < shape.n; ++n) logdet[n] += sign * double(shape.pixels()) * sum;
}

}  // namespace

template <class Z>
void channel_affine_forward(Z* z_out, double* logdet, const Z* z, const float* log_scale, const float* bias,
                            double factor, MapShape shape, Cpu) {
  const auto center = of_channels(shape.c, [&](int k) { return -channel_bias(bias, k); });
  const auto scale = of_channels(shape.c, [&](int k) { return std::exp(channel_log_scale(log_scale, factor, k)); });
  cpu::write_channel_lines<Z>({z_out}, z, {center, scale, ChannelValues(shape.c)}, shape);
  add_log_scales(logdet, 1, log_scale, factor, shape);
}

template <class Z>
void channel_affine_inverse(Z* z, double* logdet, const Z* z_out, const float* log_scale, const float* bias,
                            double factor, MapShape shape, Cpu) {
  const auto scale = of_channels(shape.c, [&](int k) { return std::exp(-channel_log_scale(log_scale, factor, k)); });
  const auto offset = of_channels(shape.c, [&](int k) { return -channel_bias(bias, k); });
  cpu::write_channel_lines<Z>({z}, z_out, {ChannelValues(shape.c), scale, offset}, shape);
  add_log_scales(logdet, -1, log_scale, factor, shape);
}

template <class Z>
void channel_affine_backward(Grad<Z> dz, Grad<float> dlog_scale, Grad<float> dbias, const Z* dz_out,
                             const double* dlogdet, const Z* z, const float* log_scale, const float* bias,
                             double factor, MapShape shape, Cpu) {
  const auto scale = of_channels(shape.c, [&](int k) { return std::exp(channel_log_scale(log_scale, factor, k)); });
  if (dlog_scale || dbias) {  // before dz, which may replace dz_out
    const auto center = of_channels(shape.c, [&](int k) { return -channel_bias(bias, k); });
    const cpu::ChannelSums sums = cpu::channel_products(dz_out, z, {center, scale, ChannelValues(shape.c)}, shape);
    double from_logdet = 0;
    for (int n = 0; dlogdet && n < shape.n; ++n) from_logdet += dlogdet[n] * double(shape.pixels());
    for (int k = 0; k < shape.c; ++k) {
      if (dlog_scale) dlog_scale.write(k, float(factor * (scale[k] * sums.second[k] + from_logdet)));
      if (dbias) dbias.write(k, float(scale[k] * sums.first[k]));
    }
  }
  if (dz) cpu::write_channel_lines(dz, dz_out, {ChannelValues(shape.c), scale, ChannelValues(shape.c)}, shape);
}

#define FLOWSMITH_INSTANTIATE(Z)                                                                                  \
  template void channel_affine_forward(Z*, double*, const Z*, const float*, const float*, double, MapShape, Cpu); \
  template void channel_affine_inverse(Z*, double*, const Z*, const float*, const float*, double, MapShape, Cpu); \
  template void channel_affine_backward(Grad<Z>, Grad<float>, Grad<float>, const Z*, const double*, const Z*,     \
                                        const float*, const float*, double, MapShape, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
