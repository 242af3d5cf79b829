// One line per channel on the GPU.
//
//   z' = (z + bias) exp(factor log_scale), logdet += h w factor sum log_scale; inverse and gradients:
//   kernels/channel_affine.h
//
// Memory plan: the walk of channel_sums.h in every direction: a thread keeps to one channel, so that it computes the
// slope once for 16 pixels, and neighbouring threads have neighbouring channels, so that a map is read and written in
// full lines. The log-determinant is the same for all images: each image has a block that sums the log-scales. Backward
// writes dz and sums dz' and dz' (z + bias) on the way, slice by slice; a second launch adds the slices, a third, one
// thread per channel, turns the two sums into gradients.
//
// Floor: forward and inverse 2 PC f, 2 FLOPs per element; backward 3 PC f, 5 FLOPs. In double, which a data-centre GPU
// computes faster than it moves the bytes; z in double moves twice as many. 128 MNIST images: 0.8 and 1.2 MB, under 1
// us at 3 TB/s: launches and latency rule.
#include <cmath>

#include "kernels/channel_affine.h"
#include "kernels/channel_affine_math.h"
#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/channel_sums.h"
#include "kernels/cuda/grid.h"

namespace flowsmith::core {
namespace {

enum class Direction { kForward, kInverse };

template <Direction kDirection, class Z>
__global__ void channel_affine_kernel(Z* out, const Z* in, const float* log_scale, const float* bias, double factor,
                                      cuda::ChannelSlices plan) {
  constexpr bool kForward = kDirection == Direction::kForward;
  const cuda::ChannelThread thread(plan);
  if (thread.first >= thread.end) return;
  const double log_slope = channel_log_scale(log_scale, factor, thread.channel);
  const double slope = std::exp(kForward ? log_slope : -log_slope), shift = channel_bias(bias, thread.channel);
  for (unsigned p = thread.first; p < thread.end; p += thread.step) {
    const std::size_t i = (std::size_t(blockIdx.x) * plan.pixels + p) * plan.channels + thread.channel;
    out[i] = Z(kForward ? (in[i] + shift) * slope : in[i] * slope - shift);
  }
}

/// logdet[image] += pixels * the sum of the log-scales; `pixels` is negative for the inverse.
__global__ void channel_affine_logdet_kernel(double* logdet, const float* log_scale, double factor, int channels,
                                             double pixels) {
  double sum = 0;
  for (int k = int(threadIdx.x); k < channels; k += int(blockDim.x)) sum += channel_log_scale(log_scale, factor, k);
  sum = cuda::block_sum(sum);
  if (threadIdx.x == 0) logdet[blockIdx.x] += pixels * sum;
}

/// `partials`, of the sums of dz_out and of dz_out * (z + bias), may be null: nobody asked for them.
template <class Z>
__global__ void channel_affine_backward_kernel(Grad<Z> dz, double* partials, const Z* dz_out, const Z* z,
                                               const float* log_scale, const float* bias, double factor,
                                               cuda::ChannelSlices plan) {
  const cuda::ChannelThread thread(plan);
  double sum = 0, product = 0;
  if (thread.first < thread.end) {
    const double slope = std::exp(channel_log_scale(log_scale, factor, thread.channel));
    const double shift = channel_bias(bias, thread.channel);
    for (unsigned p = thread.first; p < thread.end; p += thread.step) {
      const std::size_t i = (std::size_t(blockIdx.x) * plan.pixels + p) * plan.channels + thread.channel;
      const double d = dz_out[i];
      sum += d;
      product += d * (z[i] + shift);
      if (dz.data != nullptr) dz.write(i, Z(d * slope));
    }
  }
  if (partials == nullptr) return;  // the whole block
  cuda::write_slice_sum(partials, sum, thread, plan);
  cuda::write_slice_sum(partials, product, thread, plan, 1);
}

/// From the two sums per channel; dlogdet may be null.
__global__ void channel_affine_parameters_kernel(Grad<float> dlog_scale, Grad<float> dbias, const double* sums,
                                                 const double* dlogdet, const float* log_scale, double factor,
                                                 cuda::ChannelSlices plan) {
  const int k = int(cuda::flat_item());
  if (k >= plan.channels) return;
  double from_logdet = 0;
  for (int n = 0; dlogdet != nullptr && n < plan.n; ++n) from_logdet += dlogdet[n] * double(plan.pixels);
  const double slope = std::exp(channel_log_scale(log_scale, factor, k));
  if (dlog_scale.data != nullptr) {
    dlog_scale.write(k, float(factor * (slope * sums[plan.channels + k] + from_logdet)));
  }
  if (dbias.data != nullptr) dbias.write(k, float(slope * sums[k]));
}

template <Direction kDirection, class Z, Gpu G>
void launch_channel_affine(Z* out, double* logdet, const Z* in, const float* log_scale, const float* bias,
                           double factor, MapShape shape, G gpu) {
  if (shape.size() == 0) return;
  const cuda::ChannelSlices plan(shape);
  FLOWSMITH_LAUNCH((channel_affine_kernel<kDirection, Z>), plan.grid(), cuda::kBlockThreads, 0, gpu, out, in, log_scale,
                   bias, factor, plan);
  if (logdet == nullptr) return;
  const double pixels = kDirection == Direction::kForward ? double(shape.pixels()) : -double(shape.pixels());
  FLOWSMITH_LAUNCH(channel_affine_logdet_kernel, cuda::one_block_per_image(shape.n), cuda::kBlockThreads, 0, gpu,
                   logdet, log_scale, factor, shape.c, pixels);
}

}  // namespace

template <class Z, Gpu G>
void channel_affine_forward(Z* z_out, double* logdet, const Z* z, const float* log_scale, const float* bias,
                            double factor, MapShape shape, G gpu) {
  launch_channel_affine<Direction::kForward>(z_out, logdet, z, log_scale, bias, factor, shape, gpu);
}

template <class Z, Gpu G>
void channel_affine_inverse(Z* z, double* logdet, const Z* z_out, const float* log_scale, const float* bias,
                            double factor, MapShape shape, G gpu) {
  launch_channel_affine<Direction::kInverse>(z, logdet, z_out, log_scale, bias, factor, shape, gpu);
}

template <class Z, Gpu G>
void channel_affine_backward(Grad<Z> dz, Grad<float> dlog_scale, Grad<float> dbias, const Z* dz_out,
                             const double* dlogdet, const Z* z, const float* log_scale, const float* bias,
                             double factor, MapShape shape, G gpu) {
  const cuda::ChannelSlices plan(shape);
  const bool parameters = dlog_scale || dbias;
  double *sums = nullptr, *partials = nullptr;
  if (parameters) {
    const std::size_t sum_bytes = 2 * shape.c * sizeof(double);
    sums = static_cast<double*>(gpu.workspace->reserve(sum_bytes + 2 * plan.partial_bytes()));
    partials = sums + 2 * shape.c;
  }
  if (shape.size() > 0 && (dz || parameters)) {
    FLOWSMITH_LAUNCH(channel_affine_backward_kernel<Z>, plan.grid(), cuda::kBlockThreads, 0, gpu, dz, partials, dz_out,
                     z, log_scale, bias, factor, plan);
  }
  if (!parameters) return;
  cuda::add_slices(Grad<double>{sums}, partials, plan, gpu, 2);
  FLOWSMITH_LAUNCH(channel_affine_parameters_kernel, cuda::flat_grid(shape.c), cuda::kBlockThreads, 0, gpu, dlog_scale,
                   dbias, sums, dlogdet, log_scale, factor, plan);
}

#define FLOWSMITH_INSTANTIATE(Z)                                                                                      \
  template void channel_affine_forward(Z*, double*, const Z*, const float*, const float*, double, MapShape, ThisGpu); \
  template void channel_affine_inverse(Z*, double*, const Z*, const float*, const float*, double, MapShape, ThisGpu); \
  template void channel_affine_backward(Grad<Z>, Grad<float>, Grad<float>, const Z*, const double*, const Z*,         \
                                        const float*, const float*, double, MapShape, ThisGpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
