// The loss and importance weighting on the GPU: a few numbers per image, so that a captured step need not
// bring them to the host.
//
//   loss = sum_i -log_prob[i] / nats_per_unit / n, its gradient, and log((1/m) sum_j exp(log_prob[j][i])):
//   kernels/likelihood.h
//
// Memory plan: the loss is one block, whose threads take every 256th image, and one block_sum. The gradient has a
// thread per image. log_mean_exp has a thread per image, which walks the draws twice in order; neighbouring threads
// read neighbouring images of one draw.
//
// Floor: 8 n bytes, 16 n, 8 m n (the second walk finds the draws in the cache): a launch each, and nothing else.
#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/grid.h"
#include "kernels/likelihood.h"
#include "kernels/likelihood_math.h"

namespace flowsmith::core {
namespace {

__global__ void mean_negative_log_prob_kernel(double* loss, const double* log_prob, int n, double nats_per_unit) {
  double sum = 0;
  for (int i = int(threadIdx.x); i < n; i += int(blockDim.x)) sum += -log_prob[i] / nats_per_unit;
  sum = cuda::block_sum(sum);
  if (threadIdx.x == 0) *loss = sum / n;
}

__global__ void mean_negative_log_prob_backward_kernel(Grad<double> dlog_prob, const double* dloss, int n,
                                                       double nats_per_unit) {
  const std::size_t i = cuda::flat_item();
  if (i < std::size_t(n)) dlog_prob.write(i, -*dloss / nats_per_unit / n);
}

__global__ void log_mean_exp_kernel(double* out, const double* log_prob, int m, int n) {
  const std::size_t i = cuda::flat_item();
  if (i < std::size_t(n)) out[i] = shifted_log_mean_exp(log_prob + i, m, n);
}

}  // namespace

template <Gpu G>
void mean_negative_log_prob(double* loss, const double* log_prob, int n, double nats_per_unit, G gpu) {
  FLOWSMITH_LAUNCH(mean_negative_log_prob_kernel, 1, cuda::kBlockThreads, 0, gpu, loss, log_prob, n, nats_per_unit);
}

template <Gpu G>
void mean_negative_log_prob_backward(Grad<double> dlog_prob, const double* dloss, int n, double nats_per_unit, G gpu) {
  if (!dlog_prob || n == 0) return;
  FLOWSMITH_LAUNCH(mean_negative_log_prob_backward_kernel, cuda::flat_grid(n), cuda::kBlockThreads, 0, gpu, dlog_prob,
                   dloss, n, nats_per_unit);
}

template <Gpu G>
void log_mean_exp(double* out, const double* log_prob, int m, int n, G gpu) {
  if (n == 0) return;
  FLOWSMITH_LAUNCH(log_mean_exp_kernel, cuda::flat_grid(n), cuda::kBlockThreads, 0, gpu, out, log_prob, m, n);
}

template void mean_negative_log_prob(double*, const double*, int, double, ThisGpu);
template void mean_negative_log_prob_backward(Grad<double>, const double*, int, double, ThisGpu);
template void log_mean_exp(double*, const double*, int, int, ThisGpu);

}  // namespace flowsmith::core
