// The gradients of a convolution for its weights and bias, for launchers that have the scratch memory already.
#pragma once

#include "kernels/conv.h"

namespace flowsmith::cuda {

/// Bytes of scratch that launch_weight_gradient needs.
template <Gpu G>
std::size_t weight_gradient_bytes(ConvShape shape);

/// conv_backward_weights with its scratch memory.
template <Gpu G>
void launch_weight_gradient(Grad<float> dweight, Grad<float> dbias, const float* dy, const float* x, ConvShape shape,
                            float* scratch, G gpu);

}  // namespace flowsmith::cuda
