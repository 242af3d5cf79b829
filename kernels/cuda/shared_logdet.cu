// Log-determinants that are the same for every image, on the GPU.
//
//   logdet[i] += factor * sum over k of terms[k], dterms[k] = factor * sum over i of dlogdet[i]:
//   kernels/shared_logdet.h
//
// Memory plan: one block, whose threads sum every 256th number, one block_sum, and then write every 256th result.
//
// Floor: 16 n bytes and the terms, 8 n bytes and the gradients: a launch each, and nothing else.
#include "kernels/cuda/block_reduce.h"
#include "kernels/cuda/grid.h"
#include "kernels/shared_logdet.h"

namespace flowsmith::core {
namespace {

/// The sum of `count` numbers, the same in every thread. Once in a kernel.
template <class T>
__device__ double sum_by_block(const T* values, int count) {
  FLOWSMITH_SHARED(double, total, [1]);
  double sum = 0;
  for (int k = int(threadIdx.x); k < count; k += int(blockDim.x)) sum += values[k];
  sum = cuda::block_sum(sum);
  if (threadIdx.x == 0) total[0] = sum;
  __syncthreads();
  return total[0];
}

template <class T>
__global__ void shared_logdet_forward_kernel(double* logdet, const T* terms, double factor, int count, int n) {
  const double sum = sum_by_block(terms, count);
  for (int i = int(threadIdx.x); i < n; i += int(blockDim.x)) logdet[i] += factor * sum;
}

template <class T>
__global__ void shared_logdet_backward_kernel(Grad<T> dterms, const double* dlogdet, double factor, int count, int n) {
  const double sum = sum_by_block(dlogdet, n);
  for (int k = int(threadIdx.x); k < count; k += int(blockDim.x)) dterms.write(k, T(factor * sum));
}

}  // namespace

template <class T, Gpu G>
void shared_logdet_forward(double* logdet, const T* terms, double factor, int count, int n, G gpu) {
  if (n == 0) return;
  FLOWSMITH_LAUNCH(shared_logdet_forward_kernel<T>, 1, cuda::kBlockThreads, 0, gpu, logdet, terms, factor, count, n);
}

template <class T, Gpu G>
void shared_logdet_backward(Grad<T> dterms, const double* dlogdet, double factor, int count, int n, G gpu) {
  if (!dterms) return;
  FLOWSMITH_LAUNCH(shared_logdet_backward_kernel<T>, 1, cuda::kBlockThreads, 0, gpu, dterms, dlogdet, factor, count, n);
}

#define FLOWSMITH_INSTANTIATE(T)                                                     \
  template void shared_logdet_forward(double*, const T*, double, int, int, ThisGpu); \
  template void shared_logdet_backward(Grad<T>, const double*, double, int, int, ThisGpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
