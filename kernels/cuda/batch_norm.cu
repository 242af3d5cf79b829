// Batch normalisation on the GPU: as a layer of a flow and inside networks.
//
//   mean, var per channel over n, y, x; y = act((x - mean) rstd gamma + beta); logdet += h w sum log rstd; inverse,
//   gradients and running statistics: kernels/batch_norm.h
//
// Memory plan: the walk of channel_sums.h everywhere: a thread keeps to one channel, so that what belongs to the
// channel is computed once for 16 pixels, and maps are read and written in full lines. The moments take one pass over
// x, around the first value of each channel (kernels/cpu/batch_norm.cpp says why that keeps the digits): slices, one
// launch that adds them, one thread per channel. Backward sums d = dy act' and d (x - mean) in a pass of its own,
// because every dx needs them, and writes dx in a second; both find act' from the x that they read. The log-determinant
// is the same for all images: each image has a block that sums the channels.
//
// Floor: moments PC f, forward and inverse 2 PC f, backward 2 PC f for the sums and 3 PC f for dx; up to 8 FLOPs per
// element, in double, and the activation, which a data-centre GPU computes faster than it moves the bytes. 128 maps of
// 28 x 28 x 64: 26 MB per PC f, so 26 us to train forward and 43 us backward at 3 TB/s; what the L2 cache holds of the
// first pass makes the second faster.
#include "kernels/batch_norm.h"
#include "kernels/batch_norm_math.h"
#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/channel_sums.h"
#include "kernels/cuda/grid.h"

namespace flowsmith::core {
namespace {

enum class Direction { kForward, kInverse };

/// The element of this thread's channel at pixel p of image blockIdx.x.
__device__ std::size_t element(const cuda::ChannelThread& thread, unsigned p, const cuda::ChannelSlices& plan) {
  return (std::size_t(blockIdx.x) * plan.pixels + p) * plan.channels + thread.channel;
}

/// Slices of the sums of x - x[first pixel] and of its square.
template <class T>
__global__ void batch_moments_kernel(double* partials, const T* x, cuda::ChannelSlices plan) {
  const cuda::ChannelThread thread(plan);
  double sum = 0, squares = 0;
  if (thread.first < thread.end) {
    const double center = x[thread.channel];
    for (unsigned p = thread.first; p < thread.end; p += thread.step) {
      const double distance = x[element(thread, p, plan)] - center;
      sum += distance;
      squares += distance * distance;
    }
  }
  cuda::write_slice_sum(partials, sum, thread, plan);
  cuda::write_slice_sum(partials, squares, thread, plan, 1);
}

/// mean and var from those sums.
template <class T>
__global__ void batch_statistics_kernel(double* mean, double* var, const double* sums, const T* x,
                                        cuda::ChannelSlices plan) {
  const int k = int(cuda::flat_item());
  if (k >= plan.channels) return;
  const double m = double(plan.n) * plan.pixels, shift = sums[k] / m;
  const double variance = sums[plan.channels + k] / m - shift * shift;
  mean[k] = x[k] + shift;
  var[k] = variance < 0 ? 0 : variance;  // by rounding; not a number stays that
}

/// gamma and beta may be null.
template <Direction kDirection, class T>
__global__ void batch_norm_kernel(T* out, const T* in, const double* mean, const double* var, const T* gamma,
                                  const T* beta, double eps, Activation activation, cuda::ChannelSlices plan) {
  const cuda::ChannelThread thread(plan);
  if (thread.first >= thread.end) return;
  const int k = thread.channel;
  const BatchNormLine<T> line = batch_norm_line(mean, var, gamma, beta, eps, activation, k);
  const double deviation = std::sqrt(var[k] + eps);
  for (unsigned p = thread.first; p < thread.end; p += thread.step) {
    const std::size_t i = element(thread, p, plan);
    out[i] = kDirection == Direction::kForward ? line(in[i]) : T(in[i] * deviation + line.center);
  }
}

/// logdet[image] += pixels * the sum of log rstd; `pixels` is negative for the inverse.
__global__ void batch_norm_logdet_kernel(double* logdet, const double* var, double eps, int channels, double pixels) {
  double sum = 0;
  for (int k = int(threadIdx.x); k < channels; k += int(blockDim.x)) sum += batch_norm_log_rstd(var[k], eps);
  sum = cuda::block_sum(sum);
  if (threadIdx.x == 0) logdet[blockIdx.x] += pixels * sum;
}

/// Slices of the sums of dy and of dy * (x - mean), dy in front of the activation.
template <class T>
__global__ void batch_norm_sums_kernel(double* partials, const T* dy, const T* x, const double* mean, const double* var,
                                       const T* gamma, const T* beta, double eps, Activation activation,
                                       cuda::ChannelSlices plan) {
  const cuda::ChannelThread thread(plan);
  double sum = 0, product = 0;
  if (thread.first < thread.end) {
    const BatchNormLine<T> line = batch_norm_line(mean, var, gamma, beta, eps, activation, thread.channel);
    for (unsigned p = thread.first; p < thread.end; p += thread.step) {
      const std::size_t i = element(thread, p, plan);
      const double d = line.before(dy[i], x[i]);
      sum += d;
      product += d * (x[i] - line.center);
    }
  }
  cuda::write_slice_sum(partials, sum, thread, plan);
  cuda::write_slice_sum(partials, product, thread, plan, 1);
}

/// gradients[k] for dx, and the gradients of gamma and beta, from those sums. For fixed statistics of which nobody
/// asked for dgamma or dbeta, sums is null.
template <class T>
__global__ void batch_norm_parameters_kernel(BatchNormGradient* gradients, Grad<T> dgamma, Grad<T> dbeta,
                                             const double* sums, const double* dlogdet, const double* var,
                                             const T* gamma, double eps, NormStatistics statistics,
                                             cuda::ChannelSlices plan) {
  const int k = int(cuda::flat_item());
  if (k >= plan.channels) return;
  const double rstd = batch_norm_rstd(var[k], eps), scale = batch_norm_gamma(gamma, k);
  const double sum_dy = sums == nullptr ? 0 : sums[k];
  const double sum_dy_xh = sums == nullptr ? 0 : rstd * sums[plan.channels + k];
  if (dgamma.data != nullptr) dgamma.write(k, T(sum_dy_xh));
  if (dbeta.data != nullptr) dbeta.write(k, T(sum_dy));
  if (statistics == NormStatistics::kFixed) {
    gradients[k] = batch_norm_fixed_gradient(rstd, scale);
    return;
  }
  double mean_dlogdet = 0;
  for (int n = 0; dlogdet != nullptr && n < plan.n; ++n) mean_dlogdet += dlogdet[n] / plan.n;
  gradients[k] = batch_norm_gradient(rstd, scale, sum_dy, sum_dy_xh, double(plan.n) * plan.pixels, mean_dlogdet);
}

template <class T>
__global__ void batch_norm_backward_kernel(Grad<T> dx, const BatchNormGradient* gradients, const T* dy, const T* x,
                                           const double* mean, const double* var, const T* gamma, const T* beta,
                                           double eps, Activation activation, cuda::ChannelSlices plan) {
  const cuda::ChannelThread thread(plan);
  if (thread.first >= thread.end) return;
  const BatchNormGradient gradient = gradients[thread.channel];
  const BatchNormLine<T> line = batch_norm_line(mean, var, gamma, beta, eps, activation, thread.channel);
  for (unsigned p = thread.first; p < thread.end; p += thread.step) {
    const std::size_t i = element(thread, p, plan);
    dx.write(i, T(gradient.scale * line.before(dy[i], x[i]) - gradient.rest - (x[i] - line.center) * gradient.slope));
  }
}

__global__ void update_running_kernel(double* running_mean, double* running_var, const double* batch_mean,
                                      const double* batch_var, int c, std::size_t count, double momentum,
                                      const double* loss, const double* squared_norm) {
  const std::size_t k = cuda::flat_item();
  if (k >= std::size_t(c) || !std::isfinite(*loss) || !std::isfinite(*squared_norm)) return;
  running_mean[k] = running_average(running_mean[k], batch_mean[k], momentum);
  running_var[k] = running_average(running_var[k], unbiased_variance(batch_var[k], count), momentum);
}

template <Direction kDirection, class T, Gpu G>
void launch_batch_norm(T* out, double* logdet, const T* in, const double* mean, const double* var, const T* gamma,
                       const T* beta, double eps, Activation activation, MapShape shape, G gpu) {
  if (shape.size() == 0) return;
  const cuda::ChannelSlices plan(shape);
  FLOWSMITH_LAUNCH((batch_norm_kernel<kDirection, T>), plan.grid(), cuda::kBlockThreads, 0, gpu, out, in, mean, var,
                   gamma, beta, eps, activation, plan);
  if (logdet == nullptr) return;
  const double pixels = kDirection == Direction::kForward ? double(shape.pixels()) : -double(shape.pixels());
  FLOWSMITH_LAUNCH(batch_norm_logdet_kernel, cuda::one_block_per_image(shape.n), cuda::kBlockThreads, 0, gpu, logdet,
                   var, eps, shape.c, pixels);
}

}  // namespace

template <class T, Gpu G>
void batch_moments(double* mean, double* var, const T* x, MapShape shape, G gpu) {
  const cuda::ChannelSlices plan(shape);
  const std::size_t sum_bytes = 2 * shape.c * sizeof(double);
  auto* const sums = static_cast<double*>(gpu.workspace->reserve(sum_bytes + 2 * plan.partial_bytes()));
  double* const partials = sums + 2 * shape.c;
  FLOWSMITH_LAUNCH(batch_moments_kernel<T>, plan.grid(), cuda::kBlockThreads, 0, gpu, partials, x, plan);
  cuda::add_slices(Grad<double>{sums}, partials, plan, gpu, 2);
  FLOWSMITH_LAUNCH(batch_statistics_kernel<T>, cuda::flat_grid(shape.c), cuda::kBlockThreads, 0, gpu, mean, var, sums,
                   x, plan);
}

template <class T, Gpu G>
void batch_norm_forward(T* y, double* logdet, const T* x, const double* mean, const double* var, const T* gamma,
                        const T* beta, double eps, Activation activation, MapShape shape, G gpu) {
  launch_batch_norm<Direction::kForward>(y, logdet, x, mean, var, gamma, beta, eps, activation, shape, gpu);
}

template <class T, Gpu G>
void batch_norm_inverse(T* x, double* logdet, const T* y, const double* mean, const double* var, double eps,
                        MapShape shape, G gpu) {
  const T* const none = nullptr;
  launch_batch_norm<Direction::kInverse>(x, logdet, y, mean, var, none, none, eps, Activation::kNone, shape, gpu);
}

template <class T, Gpu G>
void batch_norm_backward(Grad<T> dx, Grad<T> dgamma, Grad<T> dbeta, const T* dy, const double* dlogdet, const T* x,
                         const double* mean, const double* var, const T* gamma, const T* beta, double eps,
                         Activation activation, NormStatistics statistics, MapShape shape, G gpu) {
  if (!dx && !dgamma && !dbeta) return;
  const cuda::ChannelSlices plan(shape);
  const std::size_t gradient_bytes = shape.c * sizeof(BatchNormGradient), sum_bytes = 2 * shape.c * sizeof(double);
  auto* const gradients =
      static_cast<BatchNormGradient*>(gpu.workspace->reserve(gradient_bytes + sum_bytes + 2 * plan.partial_bytes()));
  double* sums = nullptr;
  if (dgamma || dbeta || statistics == NormStatistics::kOfBatch) {
    sums = reinterpret_cast<double*>(gradients + shape.c);
    double* const partials = sums + 2 * shape.c;
    if (shape.size() > 0) {
      FLOWSMITH_LAUNCH(batch_norm_sums_kernel<T>, plan.grid(), cuda::kBlockThreads, 0, gpu, partials, dy, x, mean, var,
                       gamma, beta, eps, activation, plan);
    }
    cuda::add_slices(Grad<double>{sums}, partials, plan, gpu, 2);
  }
  FLOWSMITH_LAUNCH(batch_norm_parameters_kernel<T>, cuda::flat_grid(shape.c), cuda::kBlockThreads, 0, gpu, gradients,
                   dgamma, dbeta, sums, dlogdet, var, gamma, eps, statistics, plan);
  if (!dx || shape.size() == 0) return;
  FLOWSMITH_LAUNCH(batch_norm_backward_kernel<T>, plan.grid(), cuda::kBlockThreads, 0, gpu, dx, gradients, dy, x, mean,
                   var, gamma, beta, eps, activation, plan);
}

template <Gpu G>
void update_running(double* running_mean, double* running_var, const double* batch_mean, const double* batch_var, int c,
                    std::size_t count, double momentum, const double* loss, const double* squared_norm, G gpu) {
  FLOWSMITH_LAUNCH(update_running_kernel, cuda::flat_grid(c), cuda::kBlockThreads, 0, gpu, running_mean, running_var,
                   batch_mean, batch_var, c, count, momentum, loss, squared_norm);
}

template void update_running(double*, double*, const double*, const double*, int, std::size_t, double, const double*,
                             const double*, ThisGpu);

#define FLOWSMITH_INSTANTIATE(T)                                                                                     \
  template void batch_moments(double*, double*, const T*, MapShape, ThisGpu);                                        \
  template void batch_norm_forward(T*, double*, const T*, const double*, const double*, const T*, const T*, double,  \
                                   Activation, MapShape, ThisGpu);                                                   \
  template void batch_norm_inverse(T*, double*, const T*, const double*, const double*, double, MapShape, ThisGpu);  \
  template void batch_norm_backward(Grad<T>, Grad<T>, Grad<T>, const T*, const double*, const T*, const double*,     \
                                    const double*, const T*, const T*, double, Activation, NormStatistics, MapShape, \
                                    ThisGpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
