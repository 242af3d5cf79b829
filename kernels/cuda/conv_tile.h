// One block's convolution: an implicit matrix product of the window's taps and channels with the weights, for
// tile_pixels pixels and Cols::kAll columns. Input channels come in chunks that bound the shared memory, chunk after
// chunk, tap after tap, channel after channel: the order of an output's terms does not depend on the batch.
#pragma once

#include <type_traits>

#include "kernels/cuda/conv_weights.h"

namespace flowsmith::core::cuda {

/// The input of a convolution as a kernel sees it.
struct ConvInput {
  ConvWindow window;
  const float* x = nullptr;
  int x_channels = 0;
  int halves = 1;  ///< 2: ELU-concat
  int chunk = 0;   ///< channels of x that lie in shared memory at a time
  int stride = 0;  ///< words of a row there

  FLOWSMITH_HD std::size_t words() const { return std::size_t(window.all_rows()) * stride; }
};

/// Warps of a block: Cols::kWarps beside each other, the others below.
template <class Cols>
struct BlockLayout {
  static constexpr int kM = Cols::kM;
  static constexpr int kRowWarps = Cols::kThreads / 32 / Cols::kWarps;
  static constexpr int kPixels = 16 * kM * kRowWarps;

  static __device__ int warp_row() { return warp_index() / Cols::kWarps * 16 * kM; }
  static __device__ int warp_column() { return warp_index() % Cols::kWarps * Cols::kTiles * 8; }
};

template <NetPrecision kPrecision, class Cols>
using BlockTile = WarpTile<kPrecision, BlockLayout<Cols>::kM, Cols::kWarpTiles>;

/// Blocks that should fit a multiprocessor at a time: as many as their sums and weights on the way leave registers for.
/// A kernel without a window (kLean) needs fewer.
template <NetPrecision kPrecision, class Cols, bool kLean = false>
inline constexpr int kResidentBlocks =
    (Cols::kM == 2 || kLean) && Cols::kAll*(kPrecision == NetPrecision::kFp32 ? 2 : 1) <= 96 ? 3 : 2;

/// tile += the convolution. Shared memory: in.words(), then two stages. Ends with a barrier.
template <NetPrecision kPrecision, bool kTransposed, class Cols>
__device__ void convolve(BlockTile<kPrecision, Cols>& tile, Cols, const ConvInput& in, const ConvWeights& weights,
                         std::int64_t first_pixel, int first_column, std::uint32_t* shared) {
  using Layout = BlockLayout<Cols>;
  const PixelTile pixels{shared, in.stride};
  std::uint32_t* const stages = shared + in.words();
  clear_zero_rows(pixels, in.window);
  const int warp_row = Layout::warp_row();
  const WindowRows<typename BlockTile<kPrecision, Cols>::Rows> rows(pixels, in.window, first_pixel, warp_row);
  const bool active = first_pixel + warp_row < in.window.pixels;
  WeightStage<kPrecision, Cols, kTransposed> stage;
  for (int first = 0; first < in.x_channels; first += in.chunk) {
    TileChannels channels{first, min(in.chunk, in.x_channels - first), 0, in.halves};
    channels.padded = rounded_up(channels.count, kStepNumbers<kPrecision>);
    stage.fetch(weights, channels, first_column, 0, 0);
    load_window<kPrecision>(pixels, in.window, first_pixel, in.x, in.x_channels, channels);
    multiply_stages(tile, stage, stages, rows, weights, channels, first_column, Layout::warp_column(), active);
  }
}

/// Calls body(m, i, pixel) for the warp's rows that are pixels of the batch: those of sum[m][...][i] and [i + 1].
template <class Body>
__device__ void for_each_row(int tiles, std::int64_t warp_pixel, std::int64_t pixels, Body body) {
#pragma unroll
  for (int m = 0; m < tiles; ++m) {
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      const std::int64_t pixel = warp_pixel + m * 16 + i * 4 + lane_index() / 4;
      if (pixel < pixels) body(m, i, std::size_t(pixel));
    }
  }
}

/// Calls run with the precision as a type.
template <class Run>
void with_precision(NetPrecision precision, Run run) {
  switch (precision) {
    case NetPrecision::kFp32:
      return run(std::integral_constant<NetPrecision, NetPrecision::kFp32>{});
    case NetPrecision::kTf32:
      return run(std::integral_constant<NetPrecision, NetPrecision::kTf32>{});
    case NetPrecision::kBf16:
      return run(std::integral_constant<NetPrecision, NetPrecision::kBf16>{});
  }
}

/// Tiles of 16 pixels of a warp where a block takes 64 channels.
template <NetPrecision kPrecision>
inline constexpr int kWideM = kPrecision == NetPrecision::kFp32 ? 2 : 1;

/// Calls run with the Columns that suit so many channels (of each half); more than 64 take several blocks.
template <NetPrecision kPrecision, int kHalves, class Run>
void with_columns(int channels, Run run) {
  if constexpr (kHalves == 1) {  // ELU-concat stands in front of wide layers only
    if (channels <= 8) return run(Columns<1, 1, 1, 2>{});
  }
  if (channels <= 16) return run(Columns<2, 1, kHalves, 2>{});
  if (channels <= 32) return run(Columns<4, 1, kHalves, 2>{});
  if (channels <= 48) return run(Columns<3, 2, kHalves, 2>{});
  return run(Columns<4, 2, kHalves, kWideM<kPrecision>>{});
}

/// The shared memory that every supported GPU gives to a block.
inline constexpr std::size_t kMostSharedBytes = 96 * 1024;

/// Plans the tile of a block with so many pixels, beside which shared memory holds two stages.
template <NetPrecision kPrecision, class Stage>
ConvInput conv_input(const float* x, MapShape shape, bool concat_elu, int kernel, int tile_pixels) {
  ConvInput in;
  in.window = conv_window(shape, kernel, tile_pixels);
  in.x = x;
  in.x_channels = shape.c;
  in.halves = concat_elu ? 2 : 1;
  // Two stages of the sum's channels at a time, fewer where wide images make long bands.
  for (in.chunk = 2 * Stage::kStageChannels / in.halves;; in.chunk /= 2) {
    const int padded = rounded_up(std::min(in.chunk, shape.c), kStepNumbers<kPrecision>);
    in.stride = in.halves * padded / kPerWord<kPrecision> + 4;
    if (in.words() * 4 + Stage::kBothBytes <= kMostSharedBytes || in.chunk <= 8) return in;
  }
}

}  // namespace flowsmith::core::cuda
