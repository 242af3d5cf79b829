// What the two fused kernels of the gated block share: how a block of threads holds all channels of its pixels, and the
// sums over the channels of a pixel that the layer norm needs.
#pragma once

#include "kernels/cuda/conv_tile.h"
#include "kernels/layer_norm.h"

namespace flowsmith::core::cuda {

/// Whether a block is a task of the fused kernels. The widths of the flows here have them: the number of channels is a
/// constant, and a block of threads keeps all channels of its pixels. Others, and all with convolutions by cuDNN, go
/// through the plain kernels.
template <Gpu G>
bool is_fused(int channels, G gpu) {
  return gpu.conv == ConvAlgorithm::kFused && (channels == 16 || channels == 32 || channels == 48 || channels == 64);
}

/// Calls run with the Columns of such a width, in two halves: values and gates, or elu(h) and elu(-h), side by side in
/// one thread. Warps have kNarrow tiles of pixels for 16 and 32 channels, and kWide for 64.
template <int kNarrow, int kWide, class Run>
void with_block_columns(int channels, Run run) {
  if (channels == 16) return run(Columns<2, 1, 2, kNarrow>{});
  if (channels == 32) return run(Columns<4, 1, 2, kNarrow>{});
  if (channels == 48) return run(Columns<3, 2, 2, 2>{});
  return run(Columns<4, 2, 2, kWide>{});
}

/// A tile of pixels with two halves of channels that the block of threads makes itself: the input of its 1x1 product.
template <NetPrecision kPrecision, class Cols>
struct OwnTile {
  static constexpr int kStride = Cols::kAll / kPerWord<kPrecision> + 4;
  static constexpr int kWords = BlockLayout<Cols>::kPixels * kStride;

  static __device__ TileChannels channels() { return {0, Cols::kOfHalf, Cols::kOfHalf, 2}; }
  static __device__ std::uint32_t* word(PixelTile tile, int row, int half, int column) {
    return tile.row(row) + (half * Cols::kOfHalf + column) / kPerWord<kPrecision>;
  }
};

/// One number for each of a lane's channels, as in WarpTile::sum, of one half.
template <class Cols>
using ChannelValues = float[BlockLayout<Cols>::kM][Cols::kTiles][4];
/// One number for each of a lane's rows: [m][i / 2].
template <class Cols>
using RowValues = float[BlockLayout<Cols>::kM][2];

/// The channel of value [m][n][0] of a lane; the next one is that of [1].
template <class Cols>
__device__ int channel_of_tile(int n) {
  return BlockLayout<Cols>::warp_column() + n * 8 + lane_index() % 4 * 2;
}

/// The row of values [m][n][i] in the block's tile.
template <class Cols>
__device__ int row_of_tile(int m, int i) {
  return BlockLayout<Cols>::warp_row() + m * 16 + i / 2 * 8 + lane_index() / 4;
}

/// Calls body(m, n, i) for a lane's values.
template <class Cols, class Body>
__device__ void for_each_value(Body body) {
#pragma unroll
  for (int m = 0; m < BlockLayout<Cols>::kM; ++m) {
#pragma unroll
    for (int n = 0; n < Cols::kTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) body(m, n, i);
    }
  }
}

/// Sums over the channels of a row, of which each lane brings its own channels' sum; every lane gets the row's. All
/// threads of the block must call it.
template <class Cols>
__device__ void sum_rows(RowValues<Cols>& sums) {
  using Layout = BlockLayout<Cols>;
#pragma unroll
  for (int m = 0; m < Layout::kM; ++m) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      // The four lanes of a row are neighbours.
      for (int distance = 1; distance <= 2; distance *= 2) {
        sums[m][r] += __shfl_xor_sync(0xffffffffu, sums[m][r], distance);
      }
    }
  }
  if constexpr (Cols::kWarps > 1) {
    FLOWSMITH_SHARED(float, of_warp, [Cols::kWarps][Layout::kPixels]);
    const int warp = warp_index() % Cols::kWarps;
    for (int m = 0; m < Layout::kM; ++m) {
      for (int r = 0; r < 2; ++r) {
        if (lane_index() % 4 == 0) of_warp[warp][row_of_tile<Cols>(m, 2 * r)] = sums[m][r];
      }
    }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < Layout::kM; ++m) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        sums[m][r] = 0;
        for (int w = 0; w < Cols::kWarps; ++w) sums[m][r] += of_warp[w][row_of_tile<Cols>(m, 2 * r)];
      }
    }
    __syncthreads();
  }
}

/// r becomes (r - mean) * rstd over the channels of each row.
template <class Cols>
__device__ void normalize_rows(ChannelValues<Cols>& r, RowValues<Cols>& rstd, float eps) {
  using Layout = BlockLayout<Cols>;
  constexpr float kChannels = Cols::kOfHalf;
  RowValues<Cols> sums{};
  for_each_value<Cols>([&](int m, int n, int i) { sums[m][i / 2] += r[m][n][i]; });
  sum_rows<Cols>(sums);
  RowValues<Cols> squares{};
  for_each_value<Cols>([&](int m, int n, int i) {
    r[m][n][i] -= sums[m][i / 2] / kChannels;
    squares[m][i / 2] += r[m][n][i] * r[m][n][i];
  });
  sum_rows<Cols>(squares);
#pragma unroll
  for (int m = 0; m < Layout::kM; ++m) {
#pragma unroll
    for (int i = 0; i < 2; ++i) rstd[m][i] = 1.0f / std::sqrt(squares[m][i] / kChannels + eps);
  }
  for_each_value<Cols>([&](int m, int n, int i) { r[m][n][i] *= rstd[m][i / 2]; });
}

}  // namespace flowsmith::core::cuda
