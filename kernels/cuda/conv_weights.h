// The weights of a convolution on their way from memory through shared memory into products: a stage is kStageChannels
// of the sum's channels for one tap. While a block multiplies with one stage, the next is on its way in registers.
#pragma once

#include "kernels/cuda/conv_window.h"

namespace flowsmith::core::cuda {

/// Columns of a block's product: kWarps warps beside each other with kTiles tiles each, in kHalves halves: with 2,
/// columns c and `channels` + c of the weight (value and gate, or the two halves of an ELU-concat) belong to one
/// thread. A warp has kM tiles of 16 pixels; whatever kM, the block's pixels are the same.
///
/// kM = 1 has twice the warps with half of the work each, which hide more of the latencies that these kernels mostly
/// wait for; with kM = 2 a weight out of shared memory serves twice as many products, and more blocks fit. What is
/// faster was measured, kernel by kernel: docs/gpu_h100.md.
template <int kTiles_, int kWarps_, int kHalves_, int kM_>
struct Columns {
  static constexpr int kTiles = kTiles_, kWarps = kWarps_, kHalves = kHalves_, kM = kM_;
  static constexpr int kThreads = 256 / kM;
  static constexpr int kOfHalf = 8 * kTiles * kWarps;
  static constexpr int kAll = kHalves * kOfHalf;
  static constexpr int kWarpTiles = kHalves * kTiles;
  /// In the order of a stage: that of tile n of the warp that begins at column 0.
  static __device__ constexpr int of_tile(int n) { return n / kTiles * kOfHalf + n % kTiles * 8; }
};

/// weight [tap][row][column], and the part of it that a block multiplies with. Channels of the sum are rows; with
/// kTransposed they are columns, and the taps run backwards: the convolution that brings a gradient back.
struct ConvWeights {
  const float* data = nullptr;
  int rows = 0, columns = 0, taps = 0;
  int sum_channels = 0;     ///< of one half of the sum
  int column_channels = 0;  ///< of one half of the product's columns
};

template <NetPrecision kPrecision, class Cols, bool kTransposed>
class WeightStage {
 public:
  /// A longer stage has fewer barriers. The transposed one then takes more registers than there are.
  static constexpr int kStageChannels = Cols::kM == 1 && !kTransposed ? 64 : 32;
  static constexpr int kStageWords = kStageChannels / kPerWord<kPrecision>;
  /// Words of sum x columns, or of columns x sum with kTransposed; neighbouring lanes of a product's load then have
  /// banks of their own.
  static constexpr int kStride = kTransposed ? kStageWords + 4 : (Cols::kAll % 16 == 8 ? Cols::kAll : Cols::kAll + 8);
  static constexpr int kSize = (kTransposed ? Cols::kAll : kStageWords) * kStride;
  static constexpr std::size_t kBothBytes = 2 * kSize * 4;  ///< of shared memory that multiply_stages needs

  /// Loads stage `piece` of a tap into registers. `first_column` is the block's in each half.
  __device__ void fetch(const ConvWeights& weights, const TileChannels& channels, int first_column, int tap,
                        int piece) {
    const float* const matrix =
        weights.data + std::size_t(kTransposed ? weights.taps - 1 - tap : tap) * weights.rows * weights.columns;
    // Whole fours and no padding: nearly always. The same for all threads.
    const bool whole = channels.count == channels.padded && (piece + 1) * kStageChannels <= channels.size() &&
                       first_column + Cols::kOfHalf <= weights.column_channels && weights.columns % 4 == 0 &&
                       weights.sum_channels % 4 == 0 && channels.first % 4 == 0 && weights.column_channels % 4 == 0 &&
                       is_aligned<float, 4>(weights.data);
    if (whole) {
      fetch_items<true>(matrix, weights, channels, first_column, piece);
    } else {
      fetch_items<false>(matrix, weights, channels, first_column, piece);
    }
  }

  /// Writes what fetch loaded.
  __device__ void store(std::uint32_t* stage) const {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int item = int(threadIdx.x) + i * Cols::kThreads;
      if (kAllItems % Cols::kThreads != 0 && item >= kAllItems) break;
      if constexpr (kTransposed) {
        store_words<kPrecision>(stage + column_of(item) * kStride + channel_of(item) / kPerWord<kPrecision>, held_[i]);
      } else {
        std::uint32_t words[4];
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          float along_k[kFours];
#pragma unroll
          for (int j = 0; j < kFours; ++j) along_k[j] = held_[i * kFours + j][c];
          words[c] = to_word<kPrecision>(along_k);
        }
        store_shared(stage + channel_of(item) / kPerWord<kPrecision> * kStride + column_of(item), words[0], words[1],
                     words[2], words[3]);
      }
    }
  }

  /// The right factor of a warp's products with a stage; see WarpTile::multiply.
  class Fragments {
   public:
    __device__ Fragments(const std::uint32_t* stage, int warp_column) {
      const int g = lane_index() / 4, t = lane_index() % 4;
      const bool fp32 = kPrecision == NetPrecision::kFp32;
      const int column = warp_column + (fp32 ? 2 * t : g), word = fp32 ? 0 : t;
      lane_ = stage + (kTransposed ? column * kStride + word : word * kStride + column);
    }

    /// Words t and t+4 of a step of tile n, for the tensor cores.
    __device__ void load(std::uint32_t (&b)[2], int word, int n) const {
#pragma unroll
      for (int i = 0; i < 2; ++i) b[i] = lane_[at(word + 4 * i, Cols::of_tile(n))];
    }

    /// Four words along k of the lane's two columns of tile n, for kFp32.
    __device__ void load(float (&b)[4][2], int word, int n) const {
      if constexpr (kTransposed) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          const Vector<std::uint32_t, 4> words = load_vector<4>(lane_ + at(word, Cols::of_tile(n) + c));
#pragma unroll
          for (int k = 0; k < 4; ++k) b[k][c] = __uint_as_float(words[k]);
        }
      } else {
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          const Vector<std::uint32_t, 2> words = load_vector<2>(lane_ + at(word + k, Cols::of_tile(n)));
#pragma unroll
          for (int c = 0; c < 2; ++c) b[k][c] = __uint_as_float(words[c]);
        }
      }
    }

   private:
    static __device__ int at(int word, int column) {
      return kTransposed ? column * kStride + word : word * kStride + column;
    }

    const std::uint32_t* lane_;
  };

 private:
  // A thread moves four neighbours in memory: columns of one row (of two, for a bfloat16 word), or, transposed,
  // channels of the sum.
  static constexpr int kFours = kTransposed ? 1 : kPerWord<kPrecision>;
  static constexpr int kAllItems = Cols::kAll * kStageChannels / 4 / kFours;
  static constexpr int kItems = (kAllItems + Cols::kThreads - 1) / Cols::kThreads;

  static __device__ int column_of(int item) {
    return kTransposed ? item / (kStageChannels / 4) : item % (Cols::kAll / 4) * 4;
  }
  static __device__ int channel_of(int item) {
    return kTransposed ? item % (kStageChannels / 4) * 4 : item / (Cols::kAll / 4) * kFours;
  }

  template <bool kWhole>
  __device__ void fetch_items(const float* matrix, const ConvWeights& weights, const TileChannels& channels,
                              int first_column, int piece) {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int item = int(threadIdx.x) + i * Cols::kThreads;
      if (kAllItems % Cols::kThreads != 0 && item >= kAllItems) break;
      const int column_half = column_of(item) / Cols::kOfHalf;
      const int column = column_of(item) - column_half * Cols::kOfHalf + first_column;
#pragma unroll
      for (int j = 0; j < kFours; ++j) {
        const int k = piece * kStageChannels + channel_of(item) + j;
        const int half = (k >= channels.padded ? 1 : 0) + (k >= 2 * channels.padded ? 1 : 0);
        const int channel = k - half * channels.padded;
        const int in_sum = half * weights.sum_channels + channels.first,
                  in_columns = column_half * weights.column_channels;
        // Four neighbours of a row: those at `first` and behind, of which there are `size`.
        const float* const row = kTransposed ? matrix + std::size_t(in_columns + column) * weights.columns + in_sum
                                             : matrix + std::size_t(in_sum + channel) * weights.columns + in_columns;
        const int first = kTransposed ? channel : column;
        const int size = kTransposed ? channels.count : weights.column_channels;
        Four<float>& four = held_[i * kFours + j];
        if constexpr (kWhole) {
          four = load_vector<4>(row + first);
        } else {
          const bool inside = half < channels.halves && channel < channels.count && column < weights.column_channels;
          four = inside ? load_four(row, std::size_t(first), std::size_t(size)) : Four<float>{};
        }
      }
    }
  }

  Four<float> held_[kItems * kFours];
};

/// tile += the sum over all taps and channels of `rows` times the weights. Shared memory: two stages. The caller has
/// fetched stage 0; the first barrier in here also publishes what the caller wrote for `rows` to read. A warp without
/// pixels (`active` false) only helps with the loads.
template <class Tile, class Stage, class Rows>
__device__ void multiply_stages(Tile& tile, Stage& stage, std::uint32_t* stages, const Rows& rows,
                                const ConvWeights& weights, const TileChannels& channels, int first_column,
                                int warp_column, bool active) {
  constexpr int kStageSteps = Stage::kStageWords / kStepWords;
  const int steps = channels.size() * Stage::kStageWords / (Stage::kStageChannels * kStepWords);
  stage.store(stages);
  __syncthreads();
  int tap = 0, piece = 0, current = 0;
  while (tap < weights.taps) {
    int next_tap = tap, next_piece = piece + 1;
    if (next_piece * kStageSteps >= steps) {
      ++next_tap;
      next_piece = 0;
    }
    if (next_tap < weights.taps) stage.fetch(weights, channels, first_column, next_tap, next_piece);
    if (active) {
      const std::uint32_t* lane_rows[Tile::Rows::kCount];
      rows.of_tap(lane_rows, tap);
      const typename Stage::Fragments right(stages + current * Stage::kSize, warp_column);
      const int first_step = piece * kStageSteps;
      if (steps - first_step >= kStageSteps) {
#pragma unroll
        for (int step = 0; step < kStageSteps; ++step) {
          tile.multiply(lane_rows, (first_step + step) * kStepWords, right, step * kStepWords);
        }
      } else {
        for (int step = 0; first_step + step < steps; ++step) {
          tile.multiply(lane_rows, (first_step + step) * kStepWords, right, step * kStepWords);
        }
      }
    }
    current ^= 1;
    if (next_tap < weights.taps) stage.store(stages + current * Stage::kSize);
    __syncthreads();
    tap = next_tap;
    piece = next_piece;
  }
}

}  // namespace flowsmith::core::cuda
