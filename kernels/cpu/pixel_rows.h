// The pointwise parts of the networks on runs of neighbouring pixels, by one thread: the fused gated block and the
// stand-alone ops are made of these.
#pragma once

#include <cstddef>

#include "kernels/activation.h"

namespace flowsmith::core::cpu {

/// y = act(x), `size` elements. y may be x.
void activate_run(float* y, const float* x, std::size_t size, Activation activation);
/// dx (+)= dy * act', act' from y. dx.data may be dy.
void activation_gradient_run(Grad<float> dx, const float* dy, const float* y, std::size_t size, Activation activation);

/// out (pixels,2c) = concat(elu(x), elu(-x)), x (pixels,c).
void concat_elu_pixels(float* out, const float* x, std::size_t pixels, int c);
/// dx (+)= dy[..c) * elu'(x) - dy[c..2c) * elu'(-x).
void concat_elu_gradient_pixels(Grad<float> dx, const float* dy, const float* x, std::size_t pixels, int c);

/// y = x + value * sigmoid(gate), vg (pixels,2c).
void gate_pixels(float* y, const float* x, const float* vg, std::size_t pixels, int c);
/// dx (+)= dy; dvg (+)= the gradients of value and gate. Either may be null.
void gate_gradient_pixels(Grad<float> dx, Grad<float> dvg, const float* dy, const float* vg, std::size_t pixels, int c);

/// Layer norm over the channels. y may be x.
void layer_norm_pixels(float* y, const float* x, const float* gamma, const float* beta, std::size_t pixels, int c,
                       double eps);
/// dx (+)= the gradient for x; dgamma and dbeta (c) are added to. dx.data may be null.
void layer_norm_gradient_pixels(Grad<float> dx, float* dgamma, float* dbeta, const float* dy, const float* x,
                                const float* gamma, std::size_t pixels, int c, double eps);

}  // namespace flowsmith::core::cpu
