// The weight gradient of a convolution, summed image by image into a partial sum in the layout of the register tiles,
// and the sum of the partial sums.
#pragma once

#include <algorithm>

#include "kernels/cpu/conv_image.h"
#include "kernels/types.h"

namespace flowsmith::core::cpu {

/// A partial sum holds [ky][scalar][vector lane], cut into register tiles which follow each other without gaps, then
/// the bias gradient. Vectors run over the output channels and scalars over j = (kernel column, input channel), or the
/// other way round where output channels are fewer than the lanes of a vector. By Winograd's algorithm (winograd.h) the
/// 16 positions of a tile take the place of the kernel's rows, and j is the input channel.
struct WeightGradientPlan {
  int kernel = 3, c_in = 0, c_out = 0;
  bool winograd = false;
  bool swapped = false;
  int lanes = 1;
  int tile_scalars = 1, tile_vectors = 1;  ///< size of the register tile
  int scalars = 0, vectors = 0;            ///< of one kernel row, padding included

  int slices() const { return winograd ? 16 : kernel; }
  int row_length() const { return winograd ? c_in : kernel * c_in; }
  std::size_t weight_size() const { return std::size_t(slices()) * scalars * vectors * lanes; }
  /// Where the tile of scalars from m on and vectors from v on begins; all tiles of a kernel row before the last row of
  /// tiles have the full number of scalars.
  std::size_t tile_offset(int slice, int m, int v) const {
    const int height = std::min(tile_scalars, scalars - m);
    return (std::size_t(slice) * scalars * vectors + std::size_t(m) * vectors + std::size_t(height) * v) * lanes;
  }
  /// A multiple of 16, so that neighbouring partial sums share no cache line.
  std::size_t size() const { return (weight_size() + c_out + lanes + 15) / 16 * 16; }
};

WeightGradientPlan plan_weight_gradient(int kernel, int c_in, int c_out, bool winograd = false);

/// Adds the share of the image, or of the images that `input` counts, to `partial` (plan.size() floats, zero before the
/// first image). dy (h,w,c_out) of each with `dy_row_stride` floats from row to row, 0 outside of `pixels`; `input` as
/// for conv_image.
void add_weight_gradient(float* partial, const PaddedImage& input, const float* dy, std::ptrdiff_t dy_row_stride,
                         const WeightGradientPlan& plan, PixelSubset pixels = {});

/// The gradients from `groups` partial sums, `stride` floats apart, added in their order.
void write_weight_gradient(Grad<float> dweight, Grad<float> dbias, const float* partials, int groups,
                           std::size_t stride, const WeightGradientPlan& plan);

/// dst[i] (+)= sum over groups of partials[group * stride + i], in the order of the groups.
void write_group_sums(Grad<float> dst, const float* partials, int groups, std::size_t stride, std::size_t size);

}  // namespace flowsmith::core::cpu
