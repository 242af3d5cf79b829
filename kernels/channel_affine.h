// One line per channel with a learned slope: actnorm (Glow: Kingma, Dhariwal 2018, section 3.1). With every element of
// an image as a channel of its own, shape (n,1,1,h*w*c), it is the diagonal scale of NICE (Dinh et al. 2015, section
// 3.3) and, read as (z - mean) / deviation, a Gaussian base with a learned diagonal.
//
//   forward  z' = (z + bias[k]) * exp(factor * log_scale[k])     logdet += h*w * factor * sum_k log_scale[k]
//   inverse  z  = z' * exp(-factor * log_scale[k]) - bias[k]     logdet -= the same
//
// `factor` is a constant that speeds log_scale up: Glow's code has 3. `bias` may be null: no shift. `logdet` may be
// null: so a network ends in this op too, as Glow's do, whose last convolution is multiplied by exp(3 log_scale).
//
// Each element is computed in double and rounded once. Z is the type of z, S that of the parameters.
#pragma once

#include <vector>

#include "kernels/types.h"

namespace flowsmith::core {

/// z_out, z (n,h,w,c), logdet (n) accumulated, log_scale, bias (c). z_out may be z itself.
template <class Z, class S>
void channel_affine_forward(Z* z_out, double* logdet, const Z* z, const S* log_scale, const S* bias, double factor,
                            MapShape shape, Reference);
template <class Z>
void channel_affine_forward(Z* z_out, double* logdet, const Z* z, const float* log_scale, const float* bias,
                            double factor, MapShape shape, Cpu);
template <class Z, Gpu G>
void channel_affine_forward(Z* z_out, double* logdet, const Z* z, const float* log_scale, const float* bias,
                            double factor, MapShape shape, G gpu);

/// The inverse; z may be z_out itself.
template <class Z, class S>
void channel_affine_inverse(Z* z, double* logdet, const Z* z_out, const S* log_scale, const S* bias, double factor,
                            MapShape shape, Reference);
template <class Z>
void channel_affine_inverse(Z* z, double* logdet, const Z* z_out, const float* log_scale, const float* bias,
                            double factor, MapShape shape, Cpu);
template <class Z, Gpu G>
void channel_affine_inverse(Z* z, double* logdet, const Z* z_out, const float* log_scale, const float* bias,
                            double factor, MapShape shape, G gpu);

/// Gradients of channel_affine_forward, with e = exp(factor * log_scale):
///   dz            = dz_out * e
///   dbias[k]      = e * sum over n,y,x of dz_out
///   dlog_scale[k] = factor * (e * sum over n,y,x of dz_out * (z + bias) + h*w * sum over n of dlogdet)
/// Sums are in double and in a fixed order. dz may overwrite dz_out itself; dlogdet is null where logdet was.
template <class Z, class S>
void channel_affine_backward(Grad<Z> dz, Grad<S> dlog_scale, Grad<S> dbias, const Z* dz_out, const double* dlogdet,
                             const Z* z, const S* log_scale, const S* bias, double factor, MapShape shape, Reference);
template <class Z>
void channel_affine_backward(Grad<Z> dz, Grad<float> dlog_scale, Grad<float> dbias, const Z* dz_out,
                             const double* dlogdet, const Z* z, const float* log_scale, const float* bias,
                             double factor, MapShape shape, Cpu);
template <class Z, Gpu G>
void channel_affine_backward(Grad<Z> dz, Grad<float> dlog_scale, Grad<float> dbias, const Z* dz_out,
                             const double* dlogdet, const Z* z, const float* log_scale, const float* bias,
                             double factor, MapShape shape, G gpu);

/// Where actnorm begins: parameters that take a first batch to mean 0 and variance 1 per channel.
struct ChannelStatistics {
  std::vector<double> bias;       ///< -mean
  std::vector<double> log_scale;  ///< -log(deviation + 1e-6) / factor: finite for a channel of one value, too
};

/// Of `values` (n,h,w,c), at least one pixel, on the host: the mean, then the variance around it, over the pixels in
/// order.
ChannelStatistics channel_statistics(const std::vector<double>& values, MapShape shape, double factor);

}  // namespace flowsmith::core
