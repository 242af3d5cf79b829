// One line per channel: the formulas of channel_affine.h, element by element.
#include "kernels/channel_affine.h"

#include <cmath>

#include "kernels/channel_affine_math.h"

namespace flowsmith::core {
namespace {

/// Calls body(image, channel, element) for the whole batch.
template <class Body>
void for_each_element(MapShape shape, Body body) {
  for (std::size_t i = 0; i < shape.size(); ++i) body(int(i / shape.image_size()), int(i % shape.c), i);
}

}  // namespace

template <class Z, class S>
void channel_affine_forward(Z* z_out, double* logdet, const Z* z, const S* log_scale, const S* bias, double factor,
                            MapShape shape, Reference) {
  for_each_element(shape, [&](int n, int k, std::size_t i) {
    const double s = channel_log_scale(log_scale, factor, k);
    z_out[i] = Z((z[i] + channel_bias(bias, k)) * std::exp(s));
    if (logdet) logdet[n] += s;
  });
}

template <class Z, class S>
void channel_affine_inverse(Z* z, double* logdet, const Z* z_out, const S* log_scale, const S* bias, double factor,
                            MapShape shape, Reference) {
  for_each_element(shape, [&](int n, int k, std::size_t i) {
    const double s = channel_log_scale(log_scale, factor, k);
    z[i] = Z(z_out[i] * std::exp(-s) - channel_bias(bias, k));
    if (logdet) logdet[n] -= s;
  });
}

template <class Z, class S>
void channel_affine_backward(Grad<Z> dz, Grad<S> dlog_scale, Grad<S> dbias, const Z* dz_out, const double* dlogdet,
                             const Z* z, const S* log_scale, const S* bias, double factor, MapShape shape, Reference) {
  std::vector<double> dlog_scale_sum(shape.c), dbias_sum(shape.c);
  for_each_element(shape, [&](int n, int k, std::size_t i) {
    const double from_z = dz_out[i] * std::exp(channel_log_scale(log_scale, factor, k));
    dbias_sum[k] += from_z;
    dlog_scale_sum[k] += factor * (from_z * (z[i] + channel_bias(bias, k)) + (dlogdet ? dlogdet[n] : 0));
    if (dz) dz.write(i, Z(from_z));  // last, as it may replace dz_out[i]
  });
  for (int k = 0; dlog_scale && k < shape.c; ++k) dlog_scale.write(k, S(dlog_scale_sum[k]));
  for (int k = 0; dbias && k < shape.c; ++k) dbias.write(k, S(dbias_sum[k]));
}

#define FLOWSMITH_INSTANTIATE(Z, S)                                                                             \
  template void channel_affine_forward(Z*, double*, const Z*, const S*, const S*, double, MapShape, Reference); \
  template void channel_affine_inverse(Z*, double*, const Z*, const S*, const S*, double, MapShape, Reference); \
  template void channel_affine_backward(Grad<Z>, Grad<S>, Grad<S>, const Z*, const double*, const Z*, const S*, \
                                        const S*, double, MapShape, Reference);
FLOWSMITH_INSTANTIATE(float, float)
FLOWSMITH_INSTANTIATE(double, float)
FLOWSMITH_INSTANTIATE(double, double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
