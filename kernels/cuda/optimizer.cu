// The gradient norm and Adam on the GPU: two small launches and one large, and no word to the host in between.
//
//   squared_norm = sum x^2 in double; g = grad * clip; m, v, param as in kernels/optimizer.h, optimizer_math.h
//
// Memory plan: squared_norm sums blocks of 4096 elements, 16 bytes per thread at a time, into one double each, and one
// block adds those. Adam has a thread per four parameters, seven accesses of 16 bytes; what all parameters share
// (powers of the betas, the clip factor) is computed by one thread of each block while the others load. Whether loss
// and norm are finite is decided here too: if not, nothing is stored, and the host finds out when it reads them.
// Learning rate, step and clip norm change from step to step, so they come from device memory, not as arguments.
//
// Floor: squared_norm 1 f per parameter, 2 FLOPs; adam_step 7 f (reads param, m, v, grad, writes param, m, v), about
// 12 FLOPs with two divisions and a square root, in double as the reference has them. One million parameters: 28 MB, 9
// us at 3 TB/s. A data-centre GPU does the double arithmetic in that time; one with 2 double units per SM needs several
// times as long, still little beside the convolutions of the step.
#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/vector.h"
#include "kernels/optimizer.h"
#include "kernels/optimizer_math.h"

namespace flowsmith {
namespace {

constexpr std::size_t kNormBlock = 4096;

__global__ void squared_norm_kernel(double* partials, const float* x, std::size_t size) {
  const std::size_t begin = blockIdx.x * kNormBlock, end = min(begin + kNormBlock, size);
  double sum = 0;
  for (std::size_t first = begin + 4 * threadIdx.x; first < end; first += 4 * blockDim.x) {
    const cuda::Four<float> four = cuda::load_four(x, first, end);
    for (int i = 0; i < 4; ++i) sum += double(four[i]) * double(four[i]);
  }
  sum = cuda::block_sum(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void add_partials_kernel(double* result, const double* partials, std::size_t count) {
  double sum = 0;
  for (std::size_t i = threadIdx.x; i < count; i += blockDim.x) sum += partials[i];
  sum = cuda::block_sum(sum);
  if (threadIdx.x == 0) *result = sum;
}

/// What the threads of a block share.
struct AdamStep {
  AdamRates rates;
  double grad_scale;
};

__global__ void adam_step_kernel(float* param, float* m, float* v, const float* grad, const double* grad_squared_norm,
                                 const double* loss, const AdamInputs* inputs, std::size_t size) {
  FLOWSMITH_SHARED(AdamStep, shared, [1]);
  const std::size_t first = 4 * cuda::flat_item();
  const bool finite = std::isfinite(*loss) && std::isfinite(*grad_squared_norm);
  const bool inside = finite && first < size;
  cuda::Four<float> p, m4, v4, g;
  if (inside) {
    p = cuda::load_four(param, first, size);
    m4 = cuda::load_four(m, first, size);
    v4 = cuda::load_four(v, first, size);
    g = cuda::load_four(grad, first, size);
  }
  if (threadIdx.x == 0) {
    shared[0] = {adam_rates(inputs->options, inputs->step),
                 clip_scale(std::sqrt(*grad_squared_norm), inputs->max_norm)};
  }
  __syncthreads();
  if (inside) {
    const AdamStep step = shared[0];
    for (int i = 0; i < 4; ++i) adam_update(p[i], m4[i], v4[i], g[i] * step.grad_scale, step.rates);
    cuda::store_four(param, first, size, p);
    cuda::store_four(m, first, size, m4);
    cuda::store_four(v, first, size, v4);
  }
}

}  // namespace

template <Gpu G>
void squared_norm(double* result, const float* x, std::size_t size, G gpu) {
  const std::size_t blocks = (size + kNormBlock - 1) / kNormBlock;
  double* partials = static_cast<double*>(gpu.workspace->reserve(blocks * sizeof(double)));
  if (blocks > 0) {
    FLOWSMITH_LAUNCH(squared_norm_kernel, unsigned(blocks), cuda::kBlockThreads, 0, gpu, partials, x, size);
  }
  FLOWSMITH_LAUNCH(add_partials_kernel, 1, cuda::kBlockThreads, 0, gpu, result, partials, blocks);
}

template <Gpu G>
void adam_step(float* param, float* m, float* v, const float* grad, const double* grad_squared_norm, const double* loss,
               const AdamInputs* inputs, std::size_t size, G gpu) {
  if (size == 0) return;
  FLOWSMITH_LAUNCH(adam_step_kernel, cuda::flat_grid((size + 3) / 4), cuda::kBlockThreads, 0, gpu, param, m, v, grad,
                   grad_squared_norm, loss, inputs, size);
}

template void squared_norm(double*, const float*, std::size_t, ThisGpu);
template void adam_step(float*, float*, float*, const float*, const double*, const double*, const AdamInputs*,
                        std::size_t, ThisGpu);

}  // namespace flowsmith
