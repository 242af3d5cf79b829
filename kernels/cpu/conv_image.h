// The convolution of one image by one thread, from a zero-bordered copy of the input and packed weights: what the
// convolutions and the fused gated block are made of.
#pragma once

#include <cstddef>

#include "kernels/cpu/scratch.h"

namespace flowsmith::core::cpu {

/// How a convolution is computed on this machine. c_in and c_out are those of the sum itself: for a gradient with
/// respect to the input they are the layer's c_out and c_in.
struct ConvPlan {
  int kernel = 3, c_in = 0, c_out = 0;
  /// The output is the gradient of an ELU-concat: channels k and c_out/2 + k are computed side by side and combined.
  bool paired = false;
  bool winograd = false;  ///< see winograd.h
  int lanes = 1;          ///< floats of a vector
  int vectors = 0;        ///< vectors of output channels, padding included; 0: the lanes run over the inputs instead
  int block = 0;          ///< vectors (or output channels) of one register tile

  int row_length() const { return kernel * c_in; }
  /// Input floats of one kernel row, a multiple of the lanes where lanes run over them.
  int packed_row() const { return vectors ? row_length() : (row_length() + lanes - 1) / lanes * lanes; }
  int packed_channels() const { return vectors ? vectors * lanes : c_out; }
  std::size_t weight_size() const {
    return (winograd ? std::size_t(16) * c_in : std::size_t(kernel) * packed_row()) * packed_channels();
  }
  /// Weights, then the bias.
  std::size_t packed_size() const { return weight_size() + packed_channels() + lanes; }
};

/// `winograd` asks for that algorithm, where winograd_fits().
ConvPlan plan_conv(int kernel, int c_in, int c_out, bool paired, bool winograd = false);

/// Output channel of each packed channel, -1 for padding.
ScratchVector<int> packed_channels(const ConvPlan& plan);

/// Which way the weight [ky][kx][c_in][c_out] of a layer is read.
enum class WeightUse { kForward, kBackwardData };

/// packed: plan.packed_size() floats. Backward-data turns the weight by 180 degrees and swaps its channels. A null bias
/// is zero.
void pack_weights(float* packed, const float* weight, const float* bias, const ConvPlan& plan, WeightUse use);

/// An image with `border` zero pixels on all sides. Tiles may read, and drop, a few pixels behind the last row:
/// allocate padded_size().
struct PaddedImage {
  const float* data = nullptr;
  int h = 0, w = 0, c = 0, border = 0;
  int count = 1;  ///< images that follow each other and are convolved at once, by Winograd's algorithm only

  std::ptrdiff_t row_stride() const { return std::ptrdiff_t(w + 2 * border) * c; }
  std::ptrdiff_t image_stride() const { return (h + 2 * border) * row_stride(); }
};
inline std::size_t padded_size(int h, int w, int c, int border) {
  constexpr int kPixelSlack = 16, kVectorSlack = 64;
  return (std::size_t(h + 2 * border) * (w + 2 * border) + kPixelSlack) * c + kVectorSlack;
}

/// Copies an image (h,w,c) into the middle of `out` and zeroes the border; with `concat_elu` `out` has 2c channels and
/// receives concat(elu(x), elu(-x)).
PaddedImage pad_image(float* out, const float* x, int h, int w, int c, int border, bool concat_elu);

/// Zeroes the border of an image with c channels, and nothing else.
void zero_border(float* out, int h, int w, int c, int border);

/// All pixels of an image, or every second one of each row as on a checkerboard: those with (y + x) mod 2 = parity.
struct PixelSubset {
  int step = 1, parity = 0;

  bool all() const { return step == 1; }
  int first(int row) const { return all() ? 0 : (row + parity) % 2; }
  int count(int row, int w) const { return (w - first(row) + step - 1) / step; }
};

/// Where the result goes: data = (accumulate ? data : 0) + add + convolution, the convolution being turned into the
/// gradient of the ELU-concat in a paired plan.
struct ConvOutput {
  float* data = nullptr;
  std::ptrdiff_t row_stride = 0;  ///< floats from a row of `data` to the next
  PaddedImage elu = {};           ///< concat(elu(x), elu(-x)), paired plans only
  const float* add = nullptr;     ///< same size as data without gaps, or null
  bool accumulate = false;
  /// The others are 0, or stay as they are when accumulating. Taken where the lanes run over the inputs; other plans
  /// compute all pixels.
  PixelSubset pixels = {};
};

void conv_image(const ConvOutput& output, const PaddedImage& input, const ConvPlan& plan, const float* packed);

}  // namespace flowsmith::core::cpu
