// The networks' kernels with products of bf16: what the kernels of the same names do for a Cpu with precision kBf16.
// Everything but the factors of products is float: sums, biases, ELU-concat, gate, layer norm and all tensors.
#pragma once

#include "kernels/cpu/bf16/tiles.h"
#include "kernels/gated_block.h"

namespace flowsmith::core::cpu::bf16 {

void gated_block_forward(float* y, GatedBlockSaved<float> saved, const float* x, GatedBlockWeights<float> weights,
                         GatedBlockShape shape, const TileFunctions& tiles);
void gated_block_backward(Grad<float> dx, GatedBlockGrads<float> grads, const float* dy,
                          GatedBlockSaved<const float> saved, const float* x, GatedBlockWeights<float> weights,
                          GatedBlockShape shape, const TileFunctions& tiles);

/// Whether bf16 pays: with fewer input channels than half a step is deep most products would be with zeros. Of the
/// tutorial's conditioners that is the first convolution, which takes the few channels of z: it stays float.
inline bool takes(const ConvShape& shape) { return shape.c_in >= kTile; }

void conv_forward(float* y, const float* x, const float* weight, const float* bias, ConvShape shape,
                  const TileFunctions& tiles);
void conv_backward_data(Grad<float> dx, const float* dy, const float* x, const float* weight, ConvShape shape,
                        const TileFunctions& tiles);
void conv_backward_weights(Grad<float> dweight, Grad<float> dbias, const float* dy, const float* x, ConvShape shape,
                           const TileFunctions& tiles);

}  // namespace flowsmith::core::cpu::bf16
