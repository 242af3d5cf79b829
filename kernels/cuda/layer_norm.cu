// Channel layer norm on its own; inside the gated block it is part of its kernels.
//
//   mean, var over the channels of a pixel; y = (x - mean) rstd gamma + beta; gradients: kernels/layer_norm.h
//
// Memory plan: a warp per pixel, its lanes on neighbouring channels (whole lines), 32 apart for the next; sums over the
// channels by shuffles. The variance is summed around the mean, as in the reference, so a pixel is read three times and
// comes from memory once. Backward: the same warps write dx and leave mean and rstd of each pixel in the workspace;
// then the walk of channel_sums.h sums dy*xh and dy per channel, and one launch each adds the slices.
//
// Floor: forward 2 PC f, ~8 FLOPs per element. Backward 3 PC f for dx; dgamma and dbeta read x and dy once more (2 PC
// f, which the L2 cache of a large GPU still holds for small batches) and 2 f per pixel. Fewer channels than 32 leave
// lanes idle, and the bytes per warp instruction shrink with them.
#include <cmath>

#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/channel_sums.h"
#include "kernels/cuda/grid.h"
#include "kernels/layer_norm.h"

namespace flowsmith::core {
namespace {

constexpr int kWarps = cuda::kBlockThreads / cuda::kWarpThreads;  // pixels of a block

struct alignas(8) Statistics {
  float mean, rstd;
};

__device__ int lane_of_thread() { return int(threadIdx.x) % cuda::kWarpThreads; }

/// The pixel of this thread's warp.
__device__ std::size_t pixel_of_warp() {
  return std::size_t(blockIdx.x) * kWarps + threadIdx.x / unsigned(cuda::kWarpThreads);
}

/// Of one pixel; all lanes of the warp must call it.
__device__ Statistics pixel_statistics(const float* x, int c, float eps) {
  float sum = 0;
  for (int k = lane_of_thread(); k < c; k += cuda::kWarpThreads) sum += x[k];
  const float mean = cuda::warp_sum(sum) / float(c);
  float squares = 0;
  for (int k = lane_of_thread(); k < c; k += cuda::kWarpThreads) squares += (x[k] - mean) * (x[k] - mean);
  const float var = cuda::warp_sum(squares) / float(c);
  return {mean, 1 / std::sqrt(var + eps)};
}

__global__ void layer_norm_forward_kernel(float* y, const float* x, const float* gamma, const float* beta,
                                          std::size_t pixels, int c, float eps) {
  const std::size_t pixel = pixel_of_warp();
  if (pixel >= pixels) return;  // the whole warp
  const float* px = x + pixel * c;
  const Statistics s = pixel_statistics(px, c, eps);
  for (int k = lane_of_thread(); k < c; k += cuda::kWarpThreads) {
    y[pixel * c + k] = (px[k] - s.mean) * s.rstd * gamma[k] + beta[k];
  }
}

/// Writes dx unless it is null, and the statistics of the pixels unless `statistics` is null.
__global__ void layer_norm_backward_kernel(Grad<float> dx, Statistics* statistics, const float* dy, const float* x,
                                           const float* gamma, std::size_t pixels, int c, float eps) {
  const std::size_t pixel = pixel_of_warp();
  if (pixel >= pixels) return;  // the whole warp
  const float* px = x + pixel * c;
  const float* pdy = dy + pixel * c;
  const Statistics s = pixel_statistics(px, c, eps);
  if (statistics != nullptr && lane_of_thread() == 0) statistics[pixel] = s;
  if (dx.data == nullptr) return;
  float sum_g = 0, sum_g_xh = 0;
  for (int k = lane_of_thread(); k < c; k += cuda::kWarpThreads) {
    const float g = pdy[k] * gamma[k];
    sum_g += g;
    sum_g_xh += g * ((px[k] - s.mean) * s.rstd);
  }
  const float mean_g = cuda::warp_sum(sum_g) / float(c);
  const float mean_g_xh = cuda::warp_sum(sum_g_xh) / float(c);
  for (int k = lane_of_thread(); k < c; k += cuda::kWarpThreads) {
    const float xh = (px[k] - s.mean) * s.rstd;
    dx.write(pixel * c + k, s.rstd * (pdy[k] * gamma[k] - mean_g - xh * mean_g_xh));
  }
}

/// Slices of the sums over pixels of dy*xh and of dy.
__global__ void layer_norm_sums_kernel(double* gamma_partials, double* beta_partials, const float* dy, const float* x,
                                       const Statistics* statistics, cuda::ChannelSlices plan) {
  const cuda::ChannelThread thread(plan);
  double gamma_sum = 0, beta_sum = 0;
  for (unsigned p = thread.first; p < thread.end; p += thread.step) {
    const std::size_t pixel = std::size_t(blockIdx.x) * plan.pixels + p, i = pixel * plan.channels + thread.channel;
    const Statistics s = statistics[pixel];
    gamma_sum += dy[i] * ((x[i] - s.mean) * s.rstd);
    beta_sum += dy[i];
  }
  cuda::write_slice_sum(gamma_partials, gamma_sum, thread, plan);
  cuda::write_slice_sum(beta_partials, beta_sum, thread, plan);
}

dim3 pixel_grid(std::size_t pixels) { return dim3(unsigned((pixels + kWarps - 1) / kWarps)); }

std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

template <Gpu G>
void layer_norm_forward(float* y, const float* x, const float* gamma, const float* beta, MapShape shape, double eps,
                        G gpu) {
  if (shape.size() == 0) return;
  const std::size_t pixels = shape.n * shape.pixels();
  FLOWSMITH_LAUNCH(layer_norm_forward_kernel, pixel_grid(pixels), cuda::kBlockThreads, 0, gpu, y, x, gamma, beta,
                   pixels, shape.c, float(eps));
}

template <Gpu G>
void layer_norm_backward(Grad<float> dx, Grad<float> dgamma, Grad<float> dbeta, const float* dy, const float* x,
                         const float* gamma, MapShape shape, double eps, G gpu) {
  const std::size_t pixels = shape.n * shape.pixels();
  const bool sums = dgamma || dbeta;
  const cuda::ChannelSlices plan(shape);
  Statistics* statistics = nullptr;
  double *gamma_partials = nullptr, *beta_partials = nullptr;
  if (sums) {
    const std::size_t partial_bytes = aligned(plan.partial_bytes());
    auto* scratch =
        static_cast<unsigned char*>(gpu.workspace->reserve(2 * partial_bytes + pixels * sizeof(Statistics)));
    gamma_partials = reinterpret_cast<double*>(scratch);
    beta_partials = reinterpret_cast<double*>(scratch + partial_bytes);
    statistics = reinterpret_cast<Statistics*>(scratch + 2 * partial_bytes);
  }
  if (shape.size() > 0 && (dx || sums)) {
    FLOWSMITH_LAUNCH(layer_norm_backward_kernel, pixel_grid(pixels), cuda::kBlockThreads, 0, gpu, dx, statistics, dy, x,
                     gamma, pixels, shape.c, float(eps));
  }
  if (shape.size() > 0 && sums) {
    FLOWSMITH_LAUNCH(layer_norm_sums_kernel, plan.grid(), cuda::kBlockThreads, 0, gpu, gamma_partials, beta_partials,
                     dy, x, statistics, plan);
  }
  if (dgamma) cuda::add_slices(dgamma, gamma_partials, plan, gpu);
  if (dbeta) cuda::add_slices(dbeta, beta_partials, plan, gpu);
}

template void layer_norm_forward(float*, const float*, const float*, const float*, MapShape, double, ThisGpu);
template void layer_norm_backward(Grad<float>, Grad<float>, Grad<float>, const float*, const float*, const float*,
                                  MapShape, double, ThisGpu);

}  // namespace flowsmith::core
