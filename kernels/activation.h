// What networks do element by element. The activations are also fused into dense.h; here they stand alone, for networks
// that put a normalisation in between. ELU-concat and the gate are the pointwise parts of the gated residual block
// (Flow++, Ho et al. 2019; gated PixelCNN, van den Oord et al. 2016); they also exist inside the fused kernels of
// conv.h and gated_block.h.
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

/// Each of them has a derivative that its result alone decides, so that backward needs y and not x.
enum class Activation {
  kNone,       ///< x
  kRelu,       ///< max(x, 0)
  kElu,        ///< x for x > 0, exp(x) - 1 otherwise (Clevert et al. 2016)
  kTanh,       ///< tanh(x)
  kLeakyRelu,  ///< x for x > 0, x / 100 otherwise (Maas et al. 2013)
};

/// y = act(x), `size` elements. y may be x.
template <class T>
void activation_forward(T* y, const T* x, Activation activation, std::size_t size, Reference);
void activation_forward(float* y, const float* x, Activation activation, std::size_t size, Cpu);
template <Gpu G>
void activation_forward(float* y, const float* x, Activation activation, std::size_t size, G gpu);

/// dx = dy * act', with act' from y: [y > 0] for relu; 1 or, for y <= 0, y + 1 for elu; 1 - y^2 for tanh; 1 or, for
/// y <= 0, 1/100 for leaky relu. dx.data may be dy.
template <class T>
void activation_backward(Grad<T> dx, const T* dy, const T* y, Activation activation, std::size_t size, Reference);
void activation_backward(Grad<float> dx, const float* dy, const float* y, Activation activation, std::size_t size, Cpu);
template <Gpu G>
void activation_backward(Grad<float> dx, const float* dy, const float* y, Activation activation, std::size_t size,
                         G gpu);

/// y = concat(elu(x), elu(-x)) along the channels, elu(a) = a for a > 0, exp(a) - 1 otherwise
/// (Clevert et al. 2016). Shapes: x (n,h,w,c), y (n,h,w,2c).
template <class T>
void concat_elu_forward(T* y, const T* x, MapShape x_shape, Reference);
void concat_elu_forward(float* y, const float* x, MapShape x_shape, Cpu);
template <Gpu G>
void concat_elu_forward(float* y, const float* x, MapShape x_shape, G gpu);

/// dx = dy[..c) * elu'(x) - dy[c..2c) * elu'(-x), elu'(a) = 1 for a > 0, exp(a) otherwise.
template <class T>
void concat_elu_backward(Grad<T> dx, const T* dy, const T* x, MapShape x_shape, Reference);
void concat_elu_backward(Grad<float> dx, const float* dy, const float* x, MapShape x_shape, Cpu);
template <Gpu G>
void concat_elu_backward(Grad<float> dx, const float* dy, const float* x, MapShape x_shape, G gpu);

/// y = x + value * sigmoid(gate); vg (n,h,w,2c) holds value in its first c channels and gate in its
/// last c. Shapes: x, y (n,h,w,c).
template <class T>
void gate_forward(T* y, const T* x, const T* vg, MapShape shape, Reference);
void gate_forward(float* y, const float* x, const float* vg, MapShape shape, Cpu);
template <Gpu G>
void gate_forward(float* y, const float* x, const float* vg, MapShape shape, G gpu);

/// dx = dy; dvalue = dy * g; dgate = dy * value * g * (1 - g), g = sigmoid(gate).
template <class T>
void gate_backward(Grad<T> dx, Grad<T> dvg, const T* dy, const T* vg, MapShape shape, Reference);
void gate_backward(Grad<float> dx, Grad<float> dvg, const float* dy, const float* vg, MapShape shape, Cpu);
template <Gpu G>
void gate_backward(Grad<float> dx, Grad<float> dvg, const float* dy, const float* vg, MapShape shape, G gpu);

}  // namespace flowsmith::core
