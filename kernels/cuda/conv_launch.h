// The convolutions of kernels/conv.h for launchers that have the scratch memory already: one that calls several must
// reserve for all of them at once.
#pragma once

#include "kernels/conv.h"

namespace flowsmith::core::cuda {

/// What a slice of scratch memory takes, so that the next one is aligned to 256.
inline std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

/// Bytes of scratch that the launches below need; they depend on the algorithm and the precision.
template <Gpu G>
std::size_t conv_forward_bytes(ConvShape shape, G gpu);
template <Gpu G>
std::size_t conv_backward_data_bytes(ConvShape shape, G gpu);
template <Gpu G>
std::size_t weight_gradient_bytes(ConvShape shape, G gpu);

template <Gpu G>
void launch_conv_forward(float* y, const float* x, const float* weight, const float* bias, ConvShape shape,
                         void* scratch, G gpu);
template <Gpu G>
void launch_conv_backward_data(Grad<float> dx, const float* dy, const float* x, const float* weight, ConvShape shape,
                               void* scratch, G gpu);
/// conv_backward_weights.
template <Gpu G>
void launch_weight_gradient(Grad<float> dweight, Grad<float> dbias, const float* dy, const float* x, ConvShape shape,
                            void* scratch, G gpu);

}  // namespace flowsmith::core::cuda
