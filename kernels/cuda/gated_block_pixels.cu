// The pointwise end of the gated residual block on a GPU: r = x + value * sigmoid(gate), y = layer_norm(r); formulas in
// kernels/activation.h and kernels/layer_norm.h.
//
// A warp owns a pixel, its lanes the channels l, l + 32, ... r is computed again for each of its sums: what it is made
// of stays in the first-level cache meanwhile. Gradients for gamma and beta are a second pass, in which a thread keeps
// a channel and walks over the pixels of a group; mean and rstd of each pixel wait in scratch memory. Forward moves
// 4*P*C*4 bytes, backward 9*P*C*4 and then 4*P*C*4.
#include "kernels/activation_math.h"
#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/gated_block_pixels.h"
#include "kernels/cuda/group_sum.h"

namespace flowsmith::core {
namespace {

using namespace cuda;

constexpr int kThreads = 256, kWarpsOfBlock = kThreads / 32;
constexpr std::size_t kMostGroups = 512;

struct GatePixels {
  const float *x, *vg;
  int channels;
  std::size_t pixels;
  float norm_eps;

  __device__ float r(std::size_t pixel, int channel) const {
    const float* const values = vg + pixel * 2 * channels;
    return x[pixel * channels + channel] + values[channel] * sigmoid(values[channels + channel]);
  }
};

struct RowStatistics {
  float mean, rstd;
};

/// All lanes of a warp get the statistics of a pixel's r.
__device__ RowStatistics row_statistics(const GatePixels& in, std::size_t pixel, int lane) {
  float sum = 0;
  for (int k = lane; k < in.channels; k += 32) sum += in.r(pixel, k);
  const float mean = warp_sum(sum) / float(in.channels);
  float squares = 0;
  for (int k = lane; k < in.channels; k += 32) {
    const float centred = in.r(pixel, k) - mean;
    squares += centred * centred;
  }
  return {mean, 1.0f / std::sqrt(warp_sum(squares) / float(in.channels) + in.norm_eps)};
}

__device__ std::size_t warp_pixel() { return std::size_t(blockIdx.x) * kWarpsOfBlock + threadIdx.x / 32; }

__global__ void __launch_bounds__(kThreads)
    gate_norm_forward_kernel(float* y, GatePixels in, const float* gamma, const float* beta) {
  const std::size_t pixel = warp_pixel();
  const int lane = int(threadIdx.x) % 32;
  if (pixel < in.pixels) {
    const RowStatistics row = row_statistics(in, pixel, lane);
    for (int k = lane; k < in.channels; k += 32) {
      y[pixel * in.channels + k] = (in.r(pixel, k) - row.mean) * row.rstd * gamma[k] + beta[k];
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    gate_norm_backward_kernel(Grad<float> dx, float* dvg, RowStatistics* rows, GatePixels in, const float* dy,
                              const float* gamma) {
  const std::size_t pixel = warp_pixel();
  const int lane = int(threadIdx.x) % 32, c = in.channels;
  if (pixel < in.pixels) {
    const RowStatistics row = row_statistics(in, pixel, lane);
    if (lane == 0) rows[pixel] = row;
    float sum_g = 0, sum_g_xh = 0;
    for (int k = lane; k < c; k += 32) {
      const float g = dy[pixel * c + k] * gamma[k];
      sum_g += g;
      sum_g_xh += g * (in.r(pixel, k) - row.mean) * row.rstd;
    }
    const float mean_g = warp_sum(sum_g) / float(c), mean_g_xh = warp_sum(sum_g_xh) / float(c);
    for (int k = lane; k < c; k += 32) {
      const float g = dy[pixel * c + k] * gamma[k];
      const float dr = row.rstd * (g - mean_g - (in.r(pixel, k) - row.mean) * row.rstd * mean_g_xh);
      const float value = in.vg[pixel * 2 * c + k], gate = in.vg[pixel * 2 * c + c + k];
      if (dx.data != nullptr) dx.write(pixel * c + k, dr);
      const SigmoidPair<float> s = sigmoid_pair(gate);
      dvg[pixel * 2 * c + k] = dr * s.of;
      dvg[pixel * 2 * c + c + k] = dr * value * s.of * s.of_negative;
    }
  }
}

/// partials (groups, 2c): the group's share of dgamma and dbeta. Grid: groups, blocks of 32 channels.
__global__ void __launch_bounds__(kThreads)
    norm_gradient_kernel(float* partials, GatePixels in, const RowStatistics* rows, const float* dy) {
  FLOWSMITH_SHARED(float, sums, [2][kWarpsOfBlock][32]);
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32, c = in.channels;
  const int channel = int(blockIdx.y) * 32 + lane;
  const std::size_t end = in.pixels * (blockIdx.x + 1) / gridDim.x;
  float dgamma = 0, dbeta = 0;
  if (channel < c) {
    for (std::size_t pixel = in.pixels * blockIdx.x / gridDim.x + warp; pixel < end; pixel += kWarpsOfBlock) {
      const float d = dy[pixel * c + channel];
      dgamma += d * (in.r(pixel, channel) - rows[pixel].mean) * rows[pixel].rstd;
      dbeta += d;
    }
  }
  sums[0][warp][lane] = dgamma;
  sums[1][warp][lane] = dbeta;
  __syncthreads();
  if (warp < 2 && channel < c) {
    float sum = 0;
    for (int w = 0; w < kWarpsOfBlock; ++w) sum += sums[warp][w][lane];
    partials[(std::size_t(blockIdx.x) * 2 + warp) * c + channel] = sum;
  }
}

std::size_t pixels_of(MapShape shape) { return std::size_t(shape.n) * shape.pixels(); }

/// Of norm_gradient_kernel: 64 pixels or more in each.
std::size_t norm_groups(MapShape shape) { return std::min(kMostGroups, (pixels_of(shape) + 63) / 64); }

dim3 pixel_grid(MapShape shape) { return dim3(unsigned((pixels_of(shape) + kWarpsOfBlock - 1) / kWarpsOfBlock)); }

}  // namespace

namespace cuda {

template <Gpu G>
void gate_norm_forward(float* y, const float* x, const float* vg, const float* gamma, const float* beta, MapShape shape,
                       double norm_eps, G gpu) {
  if (shape.size() == 0) return;
  FLOWSMITH_LAUNCH(gate_norm_forward_kernel, pixel_grid(shape), kThreads, 0, gpu, y,
                   (GatePixels{x, vg, shape.c, pixels_of(shape), float(norm_eps)}), gamma, beta);
}

template <Gpu G>
std::size_t gate_norm_backward_bytes(MapShape shape) {
  return pixels_of(shape) * sizeof(RowStatistics) + norm_groups(shape) * 2 * shape.c * sizeof(float);
}

template <Gpu G>
void gate_norm_backward(Grad<float> dx, float* dvg, Grad<float> dgamma, Grad<float> dbeta, const float* dy,
                        const float* x, const float* vg, const float* gamma, MapShape shape, double norm_eps,
                        float* scratch, G gpu) {
  const std::size_t groups = norm_groups(shape);
  auto* const rows = reinterpret_cast<RowStatistics*>(scratch);
  float* const partials = scratch + 2 * pixels_of(shape);
  if (shape.size() > 0) {
    const GatePixels in{x, vg, shape.c, pixels_of(shape), float(norm_eps)};
    FLOWSMITH_LAUNCH(gate_norm_backward_kernel, pixel_grid(shape), kThreads, 0, gpu, dx, dvg, rows, in, dy, gamma);
    if (dgamma || dbeta) {
      FLOWSMITH_LAUNCH(norm_gradient_kernel, dim3(unsigned(groups), unsigned((shape.c + 31) / 32)), kThreads, 0, gpu,
                       partials, in, rows, dy);
    }
  }
  add_groups(dgamma, std::size_t(shape.c), dbeta, std::size_t(shape.c), partials, groups, gpu);
}

template void gate_norm_forward(float*, const float*, const float*, const float*, const float*, MapShape, double,
                                ThisGpu);
template std::size_t gate_norm_backward_bytes<ThisGpu>(MapShape);
template void gate_norm_backward(Grad<float>, float*, Grad<float>, Grad<float>, const float*, const float*,
                                 const float*, const float*, MapShape, double, float*, ThisGpu);

}  // namespace cuda
}  // namespace flowsmith::core
