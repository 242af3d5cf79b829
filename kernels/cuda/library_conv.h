// The convolutions of kernels/conv.h by cuDNN (3x3) and cuBLAS (1x1), for launchers that have the scratch memory
// already.
#pragma once

#include "kernels/conv.h"

namespace flowsmith::core::cuda {

/// Whether a convolution is the libraries' task. An empty one is not: they refuse it.
template <Gpu G>
bool by_libraries(ConvShape shape, G gpu) {
  return gpu.conv == ConvAlgorithm::kCudnn && shape.x().size() > 0 && shape.y().size() > 0;
}

/// Bytes of scratch for each of the three. Throw ConvLibraryError in one line if a library is missing, if it cannot do
/// the shape, or if gpu.precision is neither kFp32 nor kTf32.
template <Gpu G>
std::size_t library_forward_bytes(ConvShape shape, G gpu);
template <Gpu G>
std::size_t library_backward_data_bytes(ConvShape shape, G gpu);
template <Gpu G>
std::size_t library_weight_gradient_bytes(ConvShape shape, G gpu);

template <Gpu G>
void library_forward(float* y, const float* x, const float* weight, const float* bias, ConvShape shape, void* scratch,
                     G gpu);
/// dx must be wanted.
template <Gpu G>
void library_backward_data(Grad<float> dx, const float* dy, const float* x, const float* weight, ConvShape shape,
                           void* scratch, G gpu);
template <Gpu G>
void library_weight_gradient(Grad<float> dweight, Grad<float> dbias, const float* dy, const float* x, ConvShape shape,
                             void* scratch, G gpu);

}  // namespace flowsmith::core::cuda
