// The gated residual block with its channel layer norm, as ONE op: it is where the time goes.
//
//   h  = conv3x3(a)                 a = concat_elu(x) (2024 edition) or x (2022 edition)
//   vg = conv1x1(concat_elu(h))     value = vg[..c), gate = vg[c..2c)
//   r  = x + value * sigmoid(gate)
//   y  = layer_norm(r)
//
// The block is Flow++'s (Ho et al. 2019, appendix), as the tutorial simplifies it. Saved for backward:
// h and vg; everything else is recomputed from them and x.
#pragma once

#include "kernels/conv.h"
#include "kernels/layer_norm.h"

namespace flowsmith::core {

struct GatedBlockShape {
  int n = 0, h = 0, w = 0, c = 0;
  bool concat_elu_input = true;  ///< false in the 2022 edition
  double norm_eps = kLayerNormEps;

  MapShape map() const { return {n, h, w, c}; }
  ConvShape conv3() const { return {n, h, w, concat_elu_input ? 2 * c : c, c, 3, concat_elu_input}; }
  ConvShape conv1() const { return {n, h, w, 2 * c, 2 * c, 1, true}; }
};

/// weight3 [3][3][c_in3][c], bias3 (c), weight1 [1][1][2c][2c], bias1 (2c), gamma, beta (c).
template <class T>
struct GatedBlockWeights {
  const T *weight3, *bias3, *weight1, *bias1, *gamma, *beta;
};

template <class T>
struct GatedBlockGrads {
  Grad<T> weight3, bias3, weight1, bias1, gamma, beta;
};

/// h (n,h,w,c) and vg (n,h,w,2c).
template <class T>
struct GatedBlockSaved {
  T *h, *vg;
};

/// y, x (n,h,w,c). `saved` members may be null when no gradient will be asked for.
template <class T>
void gated_block_forward(T* y, GatedBlockSaved<T> saved, const T* x, GatedBlockWeights<T> weights,
                         GatedBlockShape shape, Reference);
void gated_block_forward(float* y, GatedBlockSaved<float> saved, const float* x, GatedBlockWeights<float> weights,
                         GatedBlockShape shape, Cpu);
/// The two convolutions' factors are rounded as gpu.precision says; everything else is float.
template <Gpu G>
void gated_block_forward(float* y, GatedBlockSaved<float> saved, const float* x, GatedBlockWeights<float> weights,
                         GatedBlockShape shape, G gpu);

/// Gradients by the chain rule through the four lines above; see docs/math/gated_block.md.
template <class T>
void gated_block_backward(Grad<T> dx, GatedBlockGrads<T> grads, const T* dy, GatedBlockSaved<const T> saved, const T* x,
                          GatedBlockWeights<T> weights, GatedBlockShape shape, Reference);
void gated_block_backward(Grad<float> dx, GatedBlockGrads<float> grads, const float* dy,
                          GatedBlockSaved<const float> saved, const float* x, GatedBlockWeights<float> weights,
                          GatedBlockShape shape, Cpu);
template <Gpu G>
void gated_block_backward(Grad<float> dx, GatedBlockGrads<float> grads, const float* dy,
                          GatedBlockSaved<const float> saved, const float* x, GatedBlockWeights<float> weights,
                          GatedBlockShape shape, G gpu);

}  // namespace flowsmith::core
