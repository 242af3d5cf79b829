// A matrix from its LU factors on the GPU.
//
//   W = P L V, V = U + diag(sign * exp(log_scale)), and its gradients: kernels/plu.h, plu_math.h
//
// Memory plan: a thread per element of W, or per element of L and U for the gradients, that walks one row and one
// column; neighbouring threads have neighbouring columns, so one of the two lies side by side and the other is the same
// for all of them.
//
// Floor: 3 c^2 floats and c^3 / 3 multiply-adds in double, twice that for the gradients: up to some 48 channels a
// launch each and the longest walk. Once per layer and step, whatever the batch.
#include "kernels/cuda/grid.h"
#include "kernels/plu.h"
#include "kernels/plu_math.h"

namespace flowsmith::core {
namespace {

__global__ void compose_plu_forward_kernel(float* weight, PluParameters<float> factors, int c) {
  const std::size_t e = cuda::flat_item();
  if (e >= std::size_t(c) * c) return;
  const int i = int(e / unsigned(c)), j = int(e % unsigned(c));
  weight[std::size_t(factors.permutation[i]) * c + j] = float(plu_product(factors, i, j, c));
}

__global__ void compose_plu_backward_kernel(PluGradients<float> gradients, const float* dweight,
                                            PluParameters<float> factors, int c) {
  const std::size_t e = cuda::flat_item();
  if (e >= std::size_t(c) * c) return;
  write_plu_gradients(gradients, factors, dweight, int(e / unsigned(c)), int(e % unsigned(c)), c);
}

}  // namespace

template <Gpu G>
void compose_plu_forward(float* weight, PluParameters<float> factors, int c, G gpu) {
  FLOWSMITH_LAUNCH(compose_plu_forward_kernel, cuda::flat_grid(std::size_t(c) * c), cuda::kBlockThreads, 0, gpu, weight,
                   factors, c);
}

template <Gpu G>
void compose_plu_backward(PluGradients<float> gradients, const float* dweight, PluParameters<float> factors, int c,
                          G gpu) {
  if (!gradients) return;
  FLOWSMITH_LAUNCH(compose_plu_backward_kernel, cuda::flat_grid(std::size_t(c) * c), cuda::kBlockThreads, 0, gpu,
                   gradients, dweight, factors, c);
}

template void compose_plu_forward(float*, PluParameters<float>, int, ThisGpu);
template void compose_plu_backward(PluGradients<float>, const float*, PluParameters<float>, int, ThisGpu);

}  // namespace flowsmith::core
