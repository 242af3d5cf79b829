// The pointwise end of the gated residual block, for any number of channels: y = layer_norm(x + value * sigmoid(gate)).
// The fused kernels have it inside; blocks of more than 64 channels go through these.
#pragma once

#include "kernels/layer_norm.h"

namespace flowsmith::core::cuda {

template <Gpu G>
void gate_norm_forward(float* y, const float* x, const float* vg, const float* gamma, const float* beta, MapShape shape,
                       double norm_eps, G gpu);

/// Bytes of scratch that gate_norm_backward needs.
template <Gpu G>
std::size_t gate_norm_backward_bytes(MapShape shape);

/// With dr the gradient of the layer norm for its input: dx = dr, dvg the gradients for value and gate.
template <Gpu G>
void gate_norm_backward(Grad<float> dx, float* dvg, Grad<float> dgamma, Grad<float> dbeta, const float* dy,
                        const float* x, const float* vg, const float* gamma, MapShape shape, double norm_eps,
                        float* scratch, G gpu);

}  // namespace flowsmith::core::cuda
