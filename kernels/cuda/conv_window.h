// The input of a convolution in shared memory: the pixels that a block works on and those that their windows reach.
//
// A block owns kPixels neighbours in the line of all pixels of a batch, image after image and row after row, so no
// height or width leaves it half empty. Row ky of their windows is a band of neighbours again, one image row further;
// where an image row is shorter than a band, the bands overlap and lie in memory once. A tap that falls outside the
// image reads a row of zeros.
#pragma once

#include "kernels/activation_math.h"
#include "kernels/conv.h"
#include "kernels/cuda/warp_tile.h"

namespace flowsmith::core::cuda {

/// Which channels of a map lie in a tile: [first, first + count), with ELU-concat (halves = 2) as elu(x) and then as
/// elu(-x). Each half is followed by zeros up to `padded`, a multiple of a step.
struct TileChannels {
  int first = 0, count = 0, padded = 0, halves = 1;

  FLOWSMITH_HD int size() const { return halves * padded; }
};

FLOWSMITH_HD constexpr int rounded_up(int value, int step) { return (value + step - 1) / step * step; }

struct ConvWindow {
  int h = 0, w = 0;
  std::int64_t pixels = 0;  ///< of the batch
  int radius = 0;           ///< 0: 1x1, 1: 3x3
  int tile_pixels = 0;      ///< that a block owns
  int band = 0;             ///< rows of the tile from one band to the next

  FLOWSMITH_HD int kernel() const { return 2 * radius + 1; }
  FLOWSMITH_HD int taps() const { return kernel() * kernel(); }
  /// Rows of the tile: its pixels, then zeros in 8 rows, so that each pixel has one whose banks are its own.
  FLOWSMITH_HD int rows() const { return tile_pixels + 2 * radius * (band + 1); }
  FLOWSMITH_HD int zero_row() const { return rounded_up(rows(), 8); }
  FLOWSMITH_HD int all_rows() const { return zero_row() + 8; }

  /// The pixel in row `row` of the tile whose own pixels begin at `first`; it may lie outside the batch.
  __device__ std::int64_t pixel_of_row(std::int64_t first, int row) const {
    const int ky = radius == 0 ? 0 : (row >= band ? 1 : 0) + (row >= 2 * band ? 1 : 0);
    return first - std::int64_t(radius) * (w + 1) + std::int64_t(ky) * (w - band) + row;
  }

  /// Bit ky*kernel + kx: that tap of the pixel lies inside the image. 0 behind the last pixel.
  __device__ unsigned taps_inside(std::int64_t pixel) const {
    if (pixel >= pixels) return 0;
    if (radius == 0) return 1;
    const unsigned image = unsigned(h) * unsigned(w);
    // A remainder of 64 bits takes a hundred instructions.
    const int in_image = int(pixels >> 32 == 0 ? unsigned(pixel) % image : unsigned(pixel % image));
    const int y = in_image / w, x = in_image - y * w;
    const unsigned columns = (x > 0 ? 1u : 0u) | 2u | (x < w - 1 ? 4u : 0u);
    return (y > 0 ? columns : 0u) | columns << 3 | (y < h - 1 ? columns << 6 : 0u);
  }

  /// The row of the tile that pixel `pixel` of the block's own reads for a tap.
  __device__ int row_of_tap(int pixel, unsigned inside, int tap) const {
    const int ky = tap / 3, kx = tap - ky * 3;
    const int row = pixel + ky * band + kx;
    return (inside >> tap & 1) != 0 ? row : zero_row() + (row & 7);
  }
};

/// Throws GpuError if an image has 2^31 pixels or more.
inline ConvWindow conv_window(MapShape shape, int kernel, int tile_pixels) {
  if (shape.pixels() >> 31 != 0) {
    throw GpuError("an image of " + std::to_string(shape.h) + "x" + std::to_string(shape.w) +
                   " pixels is too large for the GPU convolutions: they take fewer than 2^31, so cut it into parts");
  }
  ConvWindow window;
  window.h = shape.h;
  window.w = shape.w;
  window.pixels = std::int64_t(shape.n) * std::int64_t(shape.pixels());
  window.radius = kernel / 2;
  window.tile_pixels = tile_pixels;
  window.band = std::min(shape.w, tile_pixels + 2 * window.radius);
  return window;
}

/// elu(x) and elu(-x): one of them is linear, so one exponential serves both. Factors that will be rounded anyway take
/// the exponential as it comes and are off by 1e-7 at most.
struct ConcatElu {
  float positive, negative;
};

template <NetPrecision kPrecision>
__device__ ConcatElu concat_elu(float x) {
  const float below = -std::abs(x);
  const float curved = kPrecision == NetPrecision::kFp32 ? elu(below) : __expf(below) - 1.0f;
  return x > 0 ? ConcatElu{x, curved} : ConcatElu{curved, -x};
}

/// The gradient for x from those for elu(x) and elu(-x).
__device__ inline float concat_elu_gradient(ConcatElu d, float x) {
  const float curved = elu_derivative(-std::abs(x));
  return x > 0 ? d.positive - d.negative * curved : d.positive * curved - d.negative;
}

/// Where the rows of a tile lie: `stride` words apart.
struct PixelTile {
  std::uint32_t* words;
  int stride;

  __device__ std::uint32_t* row(int i) const { return words + i * stride; }
};

/// Four channels of a pixel, from `first` of the tile's.
template <NetPrecision kPrecision>
__device__ void store_channels(std::uint32_t* row, const TileChannels& channels, int first, const Four<float>& x) {
  if (channels.halves == 1) {
    store_words<kPrecision>(row + first / kPerWord<kPrecision>, x);
    return;
  }
  Four<float> positive, negative;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const ConcatElu both = concat_elu<kPrecision>(x[i]);
    positive[i] = both.positive;
    negative[i] = both.negative;
  }
  store_words<kPrecision>(row + first / kPerWord<kPrecision>, positive);
  store_words<kPrecision>(row + (channels.padded + first) / kPerWord<kPrecision>, negative);
}

/// How the threads of a block share the loads of a tile: a power of two of them, at most a warp, per pixel.
struct LoadLanes {
  int lane, lanes, row, rows;

  __device__ explicit LoadLanes(int groups) {
    int shift = 0;
    while ((1 << shift) < groups && shift < 5) ++shift;
    lanes = 1 << shift;
    lane = int(threadIdx.x) & (lanes - 1);
    row = int(threadIdx.x) >> shift;
    rows = int(blockDim.x) >> shift;
  }
};

/// Loads that a thread has under way at a time: one alone would leave it waiting for memory.
inline constexpr int kLoadsInFlight = 4;

/// load_window for maps whose fours are all aligned and whole (kWhole), or for any.
template <NetPrecision kPrecision, bool kWhole>
__device__ void load_window_rows(PixelTile tile, const ConvWindow& window, std::int64_t first_pixel, const float* x,
                                 int x_channels, const TileChannels& channels) {
  const LoadLanes threads(channels.padded / 4);
  const int rows = window.rows();
  for (int first = threads.row; first < rows; first += kLoadsInFlight * threads.rows) {
    for (int k = threads.lane * 4; k < channels.padded; k += threads.lanes * 4) {
      Four<float> fours[kLoadsInFlight];
      bool inside[kLoadsInFlight];
#pragma unroll
      for (int i = 0; i < kLoadsInFlight; ++i) {
        const int row = first + i * threads.rows;
        const std::int64_t pixel = window.pixel_of_row(first_pixel, row);
        inside[i] = row < rows && pixel >= 0 && pixel < window.pixels;
        if (!inside[i]) continue;
        const float* const from = x + std::size_t(pixel) * x_channels;
        if constexpr (kWhole) {
          fours[i] = k < channels.count ? load_vector<4>(from + channels.first + k) : Four<float>{};
        } else {
          fours[i] = load_four(from, std::size_t(channels.first + k), std::size_t(channels.first + channels.count));
        }
      }
#pragma unroll
      for (int i = 0; i < kLoadsInFlight; ++i) {
        if (inside[i]) store_channels<kPrecision>(tile.row(first + i * threads.rows), channels, k, fours[i]);
      }
    }
  }
}

/// Fills the rows of the pixels that lie in the batch. Others are not read: no tap inside an image leads there.
template <NetPrecision kPrecision>
__device__ void load_window(PixelTile tile, const ConvWindow& window, std::int64_t first_pixel, const float* x,
                            int x_channels, const TileChannels& channels) {
  const bool whole =
      x_channels % 4 == 0 && channels.first % 4 == 0 && channels.count % 4 == 0 && is_aligned<float, 4>(x);
  if (whole) {
    load_window_rows<kPrecision, true>(tile, window, first_pixel, x, x_channels, channels);
  } else {
    load_window_rows<kPrecision, false>(tile, window, first_pixel, x, x_channels, channels);
  }
}

/// Zeros for the taps that fall outside the image.
__device__ inline void clear_zero_rows(PixelTile tile, const ConvWindow& window) {
  std::uint32_t* const zeros = tile.row(window.zero_row());
  for (int i = int(threadIdx.x); i < 8 * tile.stride; i += int(blockDim.x)) zeros[i] = 0;
}

/// The rows of a tile that a lane reads as the left factor of its warp's product.
template <class Rows>
class WindowRows {
 public:
  __device__ WindowRows(PixelTile tile, const ConvWindow& window, std::int64_t first_pixel, int warp_row)
      : tile_(tile), window_(window), warp_row_(warp_row) {
#pragma unroll
    for (int i = 0; i < Rows::kCount; ++i) inside_[i] = window.taps_inside(first_pixel + warp_row + Rows::row(i));
  }

  __device__ void of_tap(const std::uint32_t* (&rows)[Rows::kCount], int tap) const {
#pragma unroll
    for (int i = 0; i < Rows::kCount; ++i) {
      rows[i] = tile_.row(window_.row_of_tap(warp_row_ + Rows::row(i), inside_[i], tap)) + Rows::first_word();
    }
  }

 private:
  PixelTile tile_;
  const ConvWindow& window_;
  int warp_row_;
  unsigned inside_[Rows::kCount];
};

/// Rows of a tile without a window: the left factor of a 1x1 convolution whose input the block made itself.
template <class Rows>
class PlainRows {
 public:
  __device__ PlainRows(PixelTile tile, int warp_row) : tile_(tile), warp_row_(warp_row) {}

  __device__ void of_tap(const std::uint32_t* (&rows)[Rows::kCount], int) const {
#pragma unroll
    for (int i = 0; i < Rows::kCount; ++i) rows[i] = tile_.row(warp_row_ + Rows::row(i)) + Rows::first_word();
  }

 private:
  PixelTile tile_;
  int warp_row_;
};

}  // namespace flowsmith::core::cuda
