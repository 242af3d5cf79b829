// Images of bf16 in the three orders in which products of tiles read them: by pixels (the rows of a convolution), by
// channels (the rows of a weight gradient), and in pairs of pixels (the columns of a weight gradient).
//
// A convolution runs over an image with its border as if that were one long row of pixels: the window of pixel p is at
// p + ky * row + kx whatever p is, so tiles of 16 pixels need not end with the rows of the image, which 7 and 14 pixels
// wide would leave a half or an eighth of every tile empty. What comes out at the border is dropped.
#pragma once

#include <cstddef>

#include "kernels/cpu/bf16/bf16.h"
#include "kernels/cpu/bf16/tiles.h"

namespace flowsmith::core::cpu::bf16 {

constexpr int round_up(int value, int step) { return (value + step - 1) / step * step; }

/// Sizes of an image with `border` zero pixels on all sides. Channels are padded with zeros to whole tiles.
struct Layout {
  int h = 0, w = 0, c = 0, border = 0;

  int row() const { return w + 2 * border; }  ///< pixels from row to row
  int channels() const { return round_up(c, kTile); }
  int pixels() const { return (h + 2 * border) * row(); }
  int first() const { return border * row() + border; }  ///< the image's first pixel
  /// From the first pixel of the image to the last, border between the rows included: what a convolution runs over.
  int run() const { return (h - 1) * row() + w; }

  /// Elements by pixels. Tiles may reach, and drop, 15 pixels more.
  std::size_t size() const { return std::size_t(pixels() + kTile) * channels(); }
  /// Pixels of a channel: a run in whole steps from any place in a window stays within it.
  int plane() const { return round_up(pixels() + kDepth - 1, kDepth); }
  std::size_t planes_size() const { return std::size_t(channels()) * plane(); }
  std::size_t pairs_size() const { return std::size_t(channels()) * round_up(run(), kDepth); }
};

/// out[layout.size()] = the image (h,w,c) inside its border; with `concat_elu` layout.c is twice the channels of x and
/// it is concat(elu(x), elu(-x)) in float that is rounded. Behind it are zeros for as far as a whole step reads.
void pad_image(Bf16* out, const float* x, const Layout& layout, bool concat_elu);

/// out[layout.planes_size()]: channel k, pixel p of what pad_image made is at k * layout.plane() + p; zeros behind it.
void to_planes(Bf16* out, const Bf16* image, const Layout& layout);

/// out[layout.pairs_size()]: pixels 2q and 2q + 1 of the run, channel k, are side by side at
/// 2 * (q * layout.channels() + k); zeros behind it.
void to_pairs(Bf16* out, const Bf16* image, const Layout& layout);

/// sums[k] += sum over pixels of x[pixel * c + k].
void add_pixels(float* sums, const float* x, std::size_t pixels, int c);

}  // namespace flowsmith::core::cpu::bf16
