// x[i] = value. A memset cannot write doubles other than 0, and a copy from the host could not be captured. Moves 8
// bytes per element; used for single numbers, so its time is that of a launch.
#include "kernels/cuda/gpu.h"
#include "kernels/fill.h"

namespace flowsmith::core {
namespace {

constexpr int kThreads = 256;

__global__ void fill_kernel(double* x, double value, std::size_t size) {
  const std::size_t i = std::size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < size) x[i] = value;
}

}  // namespace

template <Gpu G>
void fill(double* x, double value, std::size_t size, G gpu) {
  if (size == 0) return;
  const auto blocks = unsigned((size + kThreads - 1) / kThreads);
  FLOWSMITH_LAUNCH(fill_kernel, dim3(blocks), dim3(kThreads), 0, gpu, x, value, size);
}

template void fill(double*, double, std::size_t, ThisGpu);

}  // namespace flowsmith::core
