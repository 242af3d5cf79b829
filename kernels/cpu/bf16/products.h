// The three products of a convolution: its sum, the gradient for its input, and the gradient for its weights.
#pragma once

#include "kernels/cpu/bf16/image.h"
#include "kernels/cpu/conv_image.h"
#include "kernels/cpu/scratch.h"
#include "kernels/types.h"

namespace flowsmith::core::cpu::bf16 {

using Bf16Scratch = BasicScratch<Bf16>;

/// Pixels that the 1x1 convolution of a gated block takes at a time: whole steps of a weight gradient, whole blocks of
/// tiles, and maps of 2 * 64 channels that fit the first-level cache one by one.
inline constexpr int kChunk = 64;

/// A convolution as a product. c_in and c_out are those of the sum itself: for a gradient with respect to the input
/// they are the layer's c_out and c_in.
struct ConvPlan {
  int kernel = 3, c_in = 0, c_out = 0;

  int channels() const { return round_up(c_in, kTile); }
  int tiles() const { return round_up(c_out, kTile) / kTile; }  ///< of output channels
  /// Of a kernel row, whose columns and channels lie side by side. The last one may end within the pixel behind them,
  /// whose products have zero weights: a number that is not finite there makes this sum NaN too, one pixel too far.
  int steps() const { return round_up(kernel * channels(), kDepth) / kDepth; }
  /// Of all steps for a tile of output channels.
  std::size_t tile_size() const { return std::size_t(kernel) * steps() * kDepth * kTile; }
  std::size_t weight_size() const { return tiles() * tile_size(); }
};

/// Weights as the tiles read them, and the bias, padded with zeros.
struct PackedWeights {
  ConvPlan plan;
  const Bf16* weight = nullptr;
  const float* bias = nullptr;
};

/// Rounds and packs the weight [ky][kx][c_in][c_out] of a layer into memory of the two scratches. Backward-data turns
/// it by 180 degrees and swaps its channels. A null bias is zero.
PackedWeights pack_weights(Bf16Scratch& weights, Scratch& biases, const float* weight, const float* bias,
                           const ConvPlan& plan, WeightUse use);

/// out[p * c_out + o] for all pixels p of the image's run, what pad_image made being `image`.
void multiply_image(float* out, const Bf16* image, const Layout& layout, const PackedWeights& packed,
                    const TileFunctions& tiles);

/// The weight gradient's partial sums: [ky][kx][c_in][c_out], channels padded to whole tiles, then the bias gradient.
struct GradientPlan {
  int kernel = 3, c_in = 0, c_out = 0;

  int rows() const { return round_up(c_in, kTile); }
  int columns() const { return round_up(c_out, kTile); }
  std::size_t weight_size() const { return std::size_t(kernel) * kernel * rows() * columns(); }
  std::size_t size() const { return weight_size() + columns(); }
};

/// Adds one image's share of the weights (not of the bias) to `partial`, which is zero before the first image. `planes`
/// of the input, `pairs` of the output's gradient, both of images with this layout but for their channels.
void add_weight_gradient(float* partial, const Bf16* planes, const Bf16* pairs, const Layout& layout,
                         const GradientPlan& plan, const TileFunctions& tiles);

/// The gradients from `groups` partial sums, `stride` floats apart, added in their order.
void write_weight_gradient(Grad<float> dweight, Grad<float> dbias, const float* partials, int groups,
                           std::size_t stride, const GradientPlan& plan);

}  // namespace flowsmith::core::cpu::bf16
