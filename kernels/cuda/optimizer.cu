// The gradient norm and Adam on the GPU: three small launches and one large, and no word to the host in between.
//
//   squared_norm = sum x^2 in double; g = grad * clip; m, v, param as in kernels/optimizer.h, optimizer_math.h
//
// Memory plan: squared_norm sums blocks of 4096 elements, 16 bytes per thread at a time, into one double each, and one
// block adds those. admit_step, one thread, computes what all parameters share (powers of the betas, the clip factor)
// and decides whether the step counts: not if loss or norm is not finite, nor behind a step that did not count. The
// host finds out when it reads loss and norm, with the next step already on its way. Adam has a thread per four
// parameters, seven accesses of 16 bytes. Learning rate, step and clip norm change from step to step, so they come from
// device memory, not as arguments.
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

namespace flowsmith::core {
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

/// What all parameters share.
struct AdamStep {
  AdamRates rates;
  double grad_scale;
  bool counts;
};

__global__ void admit_step_kernel(AdamStep* step, std::int64_t* steps_taken, const double* grad_squared_norm,
                                  const double* loss, const AdamInputs* inputs) {
  *step = {adam_rates(inputs->options, inputs->step), clip_factor(std::sqrt(*grad_squared_norm), inputs->max_norm),
           admit_step(steps_taken, *grad_squared_norm, *loss, inputs->step)};
}

__global__ void adam_step_kernel(float* param, float* m, float* v, const float* grad, const AdamStep* shared,
                                 std::size_t size) {
  const std::size_t first = 4 * cuda::flat_item();
  if (first >= size || !shared->counts) return;
  const AdamStep step = *shared;
  cuda::Four<float> p = cuda::load_four(param, first, size);
  cuda::Four<float> m4 = cuda::load_four(m, first, size);
  cuda::Four<float> v4 = cuda::load_four(v, first, size);
  const cuda::Four<float> g = cuda::load_four(grad, first, size);
  for (int i = 0; i < 4; ++i) adam_update(p[i], m4[i], v4[i], g[i] * step.grad_scale, step.rates);
  cuda::store_four(param, first, size, p);
  cuda::store_four(m, first, size, m4);
  cuda::store_four(v, first, size, v4);
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
void adam_step(float* param, float* m, float* v, std::int64_t* steps_taken, const float* grad,
               const double* grad_squared_norm, const double* loss, const AdamInputs* inputs, std::size_t size, G gpu) {
  auto* const step = static_cast<AdamStep*>(gpu.workspace->reserve(sizeof(AdamStep)));
  FLOWSMITH_LAUNCH(admit_step_kernel, 1, 1, 0, gpu, step, steps_taken, grad_squared_norm, loss, inputs);
  if (size == 0) return;
  FLOWSMITH_LAUNCH(adam_step_kernel, cuda::flat_grid((size + 3) / 4), cuda::kBlockThreads, 0, gpu, param, m, v, grad,
                   step, size);
}

template void squared_norm(double*, const float*, std::size_t, ThisGpu);
template void adam_step(float*, float*, float*, std::int64_t*, const float*, const double*, const double*,
                        const AdamInputs*, std::size_t, ThisGpu);

}  // namespace flowsmith::core
