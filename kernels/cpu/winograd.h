// 3x3 convolutions of one image by Winograd's minimal filtering, F(2x2,3x3): for what is computed on many channels.
//
//   y = A^T [ (G g G^T) * (B^T d B) ] A      for each tile of 2x2 outputs, d: the 4x4 inputs that it depends on
//
// (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.1.) The product in the middle is
// elementwise in the 16 positions of a tile and a sum over the input channels, so it is 16 small matrix products, and
// they take 16 multiply-adds where the convolution takes 36. The transforms are additions, and halves in the weight's.
// The same algebra, transposed, gives the weight gradient:
//
//   dg = G^T [ sum over tiles (B^T d B) * (A dy A^T) ] G
//
// It is exact but for rounding, which is that of the plain sum times a small factor (docs/kernels.md).
#pragma once

#include "kernels/cpu/conv_image.h"
#include "kernels/types.h"

namespace flowsmith::core::cpu {

inline constexpr int kWinogradPositions = 16;

/// Whether 3x3 convolutions between maps of h by w pixels and multiples of c channels go this way: whole vectors, and
/// few enough tiles. Those at the end of an odd side are half outside the map.
bool winograd_fits(int h, int w, int c);

/// What pack_weights() and conv_image() do for a plan with `winograd`. The input needs no border: what lies outside
/// counts as zeros.
void pack_winograd_weights(float* packed, const float* weight, const float* bias, const ConvPlan& plan, WeightUse use);
void winograd_image(const ConvOutput& output, const PaddedImage& input, const ConvPlan& plan, const float* packed);

struct WeightGradientPlan;

/// What add_weight_gradient() does for a plan with `winograd`.
void add_winograd_weight_gradient(float* partial, const PaddedImage& input, const float* dy,
                                  std::ptrdiff_t dy_row_stride, const WeightGradientPlan& plan);

/// The nine taps of dg from the 16 sums of one input and one output channel.
void winograd_taps(const float* sums, float* taps);

}  // namespace flowsmith::core::cpu
