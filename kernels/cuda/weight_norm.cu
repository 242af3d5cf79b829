// Weight normalisation on the GPU: w = g v / |v| for each output channel; the formulas are in kernels/weight_norm.h.
//
// Memory plan: a block has 32 output channels, one per lane, and its warps share the rows: what a warp reads of a row
// lies side by side. Sums are formed in double, warp by warp, then over the warps in order; v (and dw) are read a
// second time for the result, from L2.
//
// Floor: 2 f per weight forward, 3 f backward (v, dw, dv): 1000 x 1000 weights, 12 MB, 4 us at 3 TB/s. A few FLOPs per
// weight in double.
#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/grid.h"
#include "kernels/weight_norm_math.h"

namespace flowsmith::core {
namespace {

constexpr int kWarps = cuda::kBlockThreads / cuda::kWarpThreads;

/// This thread's weights: of one output channel every kWarps-th row.
struct ColumnThread {
  int channel;
  bool inside;
  std::size_t first, step;

  __device__ explicit ColumnThread(WeightNormShape shape) {
    const int lane = int(threadIdx.x) % cuda::kWarpThreads, warp = int(threadIdx.x) / cuda::kWarpThreads;
    channel = int(blockIdx.x) * cuda::kWarpThreads + lane;
    inside = channel < shape.out;
    first = inside ? std::size_t(warp) * shape.out + channel : shape.size();
    step = std::size_t(kWarps) * shape.out;
  }
};

/// The sum over the threads of a channel, for all of them. All threads of the block must call it.
__device__ double column_sum(double value) {
  FLOWSMITH_SHARED(double, sums, [kWarps][cuda::kWarpThreads]);
  const int lane = int(threadIdx.x) % cuda::kWarpThreads, warp = int(threadIdx.x) / cuda::kWarpThreads;
  __syncthreads();  // an earlier sum may still be read
  sums[warp][lane] = value;
  __syncthreads();
  double total = 0;
  for (int i = 0; i < kWarps; ++i) total += sums[i][lane];
  return total;
}

/// The sum over the rows of a * b.
__device__ double column_dot(const float* a, const float* b, const ColumnThread& thread, WeightNormShape shape) {
  double sum = 0;
  for (std::size_t i = thread.first; i < shape.size(); i += thread.step) sum += double(a[i]) * double(b[i]);
  return column_sum(sum);
}

__global__ void weight_norm_forward_kernel(float* w, const float* v, const float* g, WeightNormShape shape) {
  const ColumnThread thread(shape);
  const double squares = column_dot(v, v, thread, shape);
  if (!thread.inside) return;
  const double scale = g[thread.channel] * inverse_weight_norm(squares);
  for (std::size_t i = thread.first; i < shape.size(); i += thread.step) w[i] = float(scale * v[i]);
}

/// Either gradient may be null.
__global__ void weight_norm_backward_kernel(Grad<float> dv, Grad<float> dg, const float* dw, const float* v,
                                            const float* g, WeightNormShape shape) {
  const ColumnThread thread(shape);
  const double squares = column_dot(v, v, thread, shape), products = column_dot(dw, v, thread, shape);
  if (!thread.inside) return;
  const WeightNormGradient d = weight_norm_gradient(squares, products, g[thread.channel]);
  if (dg.data != nullptr && threadIdx.x < cuda::kWarpThreads) dg.write(thread.channel, float(d.dg));
  if (dv.data == nullptr) return;
  for (std::size_t i = thread.first; i < shape.size(); i += thread.step) {
    dv.write(i, float(d.of_dw * dw[i] - d.of_v * v[i]));
  }
}

dim3 channel_grid(WeightNormShape shape) {
  return dim3(unsigned((shape.out + cuda::kWarpThreads - 1) / cuda::kWarpThreads));
}

}  // namespace

template <Gpu G>
void weight_norm_forward(float* w, const float* v, const float* g, WeightNormShape shape, G gpu) {
  if (shape.size() == 0) return;
  FLOWSMITH_LAUNCH(weight_norm_forward_kernel, channel_grid(shape), cuda::kBlockThreads, 0, gpu, w, v, g, shape);
}

template <Gpu G>
void weight_norm_backward(Grad<float> dv, Grad<float> dg, const float* dw, const float* v, const float* g,
                          WeightNormShape shape, G gpu) {
  if (shape.size() == 0 || (!dv && !dg)) return;
  FLOWSMITH_LAUNCH(weight_norm_backward_kernel, channel_grid(shape), cuda::kBlockThreads, 0, gpu, dv, dg, dw, v, g,
                   shape);
}

template void weight_norm_forward(float*, const float*, const float*, WeightNormShape, ThisGpu);
template void weight_norm_backward(Grad<float>, Grad<float>, const float*, const float*, const float*, WeightNormShape,
                                   ThisGpu);

}  // namespace flowsmith::core
