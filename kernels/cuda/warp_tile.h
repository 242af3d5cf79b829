// A warp's share of a matrix product: 16*kM rows (pixels, or input channels of a weight gradient) by 8*kN columns
// (output channels), as sums in registers, whatever the precision: kFp32 computes with plain multiply-adds the sums
// that the tensor cores leave in the same registers, so everything after the product is written once.
//
// In shared memory the factors lie in words of 32 bits: a float, a float rounded to TF32, or two bfloat16 neighbours
// along k, the direction of the sum. A step is 8 words along k.
#pragma once

#include "kernels/cuda/mma.h"
#include "kernels/cuda/vector.h"

namespace flowsmith::core::cuda {

/// Numbers along k in a word, and in a step.
template <NetPrecision kPrecision>
inline constexpr int kPerWord = kPrecision == NetPrecision::kBf16 ? 2 : 1;
inline constexpr int kStepWords = 8;
template <NetPrecision kPrecision>
inline constexpr int kStepNumbers = kStepWords* kPerWord<kPrecision>;

/// kPerWord neighbours along k as a word.
template <NetPrecision kPrecision>
__device__ std::uint32_t to_word(const float* along_k) {
  if constexpr (kPrecision == NetPrecision::kBf16) {
    return to_bf16(along_k[0], along_k[1]);
  } else if constexpr (kPrecision == NetPrecision::kTf32) {
    return to_tf32(along_k[0]);
  } else {
    return __float_as_uint(along_k[0]);
  }
}

/// Writes four neighbours along k; `to` is aligned to 16 bytes (8 for kBf16).
template <NetPrecision kPrecision>
__device__ void store_words(std::uint32_t* to, const Four<float>& along_k) {
  if constexpr (kPrecision == NetPrecision::kBf16) {
    store_shared(to, to_word<kPrecision>(along_k.v), to_word<kPrecision>(along_k.v + 2));
  } else {
    const float* const v = along_k.v;
    store_shared(to, to_word<kPrecision>(v), to_word<kPrecision>(v + 1), to_word<kPrecision>(v + 2),
                 to_word<kPrecision>(v + 3));
  }
}

/// The two sums of a lane that are neighbours along k of the next product.
template <NetPrecision kPrecision>
__device__ void store_words(std::uint32_t* to, float first, float second) {
  const float pair[2] = {first, second};
  if constexpr (kPrecision == NetPrecision::kBf16) {
    *to = to_word<kPrecision>(pair);
  } else {
    store_shared(to, to_word<kPrecision>(pair), to_word<kPrecision>(pair + 1));
  }
}

/// Elements first, first+1 of a row of `size`; 0 for those behind its end. Any alignment.
__device__ inline Vector<float, 2> load_pair(const float* row, int first, int size) {
  if (first + 2 <= size && is_aligned<float, 2>(row + first)) return load_vector<2>(row + first);
  return {{first < size ? row[first] : 0.0f, first + 1 < size ? row[first + 1] : 0.0f}};
}

/// Writes elements first, first+1 of a row of `size`; those behind its end are left out.
__device__ inline void store_pair(float* row, int first, int size, Vector<float, 2> pair) {
  if (first + 2 <= size && is_aligned<float, 2>(row + first)) {
    store_vector(row + first, pair);
    return;
  }
  if (first < size) row[first] = pair[0];
  if (first + 1 < size) row[first + 1] = pair[1];
}

/// The same into a gradient whose row begins at element `at`.
__device__ inline void write_pair(Grad<float> grad, std::size_t at, int first, int size, Vector<float, 2> pair) {
  float* const row = grad.data + at;
  if (grad.mode == GradMode::kAccumulate) {
    const Vector<float, 2> before = load_pair(row, first, size);
    pair = {{before[0] + pair[0], before[1] + pair[1]}};
  }
  store_pair(row, first, size, pair);
}

/// The rows of a tile whose words a lane loads: for the tensor cores one of 16, of which it gets half the words of a
/// step; for kFp32 the two that its sums belong to.
template <NetPrecision kPrecision, int kM>
struct LaneRows {
  static constexpr int kCount = kPrecision == NetPrecision::kFp32 ? 2 * kM : kM;
  static __device__ int row(int i) {
    return kPrecision == NetPrecision::kFp32 ? i * 8 + lane_index() / 4 : i * 16 + lane_index() % 16;
  }
  /// Where in a row the lane begins.
  static __device__ int first_word() { return kPrecision == NetPrecision::kFp32 ? 0 : lane_index() / 16 * 4; }
};

template <NetPrecision kPrecision, int kM, int kN>
struct WarpTile {
  static constexpr int kRows = 16 * kM;
  using Rows = LaneRows<kPrecision, kM>;

  float sum[kM][kN][4] = {};

  /// Row and column of sum[m][n][i].
  static __device__ int row(int m, int i) { return m * 16 + i / 2 * 8 + lane_index() / 4; }
  static __device__ int column(int n, int i) { return n * 8 + lane_index() % 4 * 2 + i % 2; }

  /// Adds the product of one step. rows[i] + word is where it begins in row Rows::row(i) of the left factor;
  /// right.load(b, stage_word, n) gives the lane its part of tile n of the right factor (WeightStage::Fragments).
  template <class Right>
  __device__ void multiply(const std::uint32_t* const (&rows)[Rows::kCount], int word, const Right& right,
                           int stage_word) {
    if constexpr (kPrecision == NetPrecision::kFp32) {
      multiply_fp32(rows, word, right, stage_word);
    } else {
      std::uint32_t a[kM][4];
#pragma unroll
      for (int m = 0; m < kM; ++m) load_matrices(a[m], rows[m] + word);
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        std::uint32_t b[2];
        right.load(b, stage_word, n);
#pragma unroll
        for (int m = 0; m < kM; ++m) multiply_add(sum[m][n], a[m], b);
      }
    }
  }

  static __device__ void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    if constexpr (kPrecision == NetPrecision::kBf16) {
      mma_bf16(d, a, b);
    } else {
      mma_tf32(d, a, b);
    }
  }

 private:
  template <class Right>
  __device__ void multiply_fp32(const std::uint32_t* const (&rows)[Rows::kCount], int word, const Right& right,
                                int stage_word) {
#pragma unroll
    for (int part = 0; part < kStepWords; part += 4) {
      Vector<std::uint32_t, 4> a[2 * kM];
#pragma unroll
      for (int i = 0; i < 2 * kM; ++i) a[i] = load_vector<4>(rows[i] + word + part);
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        float b[4][2];
        right.load(b, stage_word + part, n);
#pragma unroll
        for (int k = 0; k < 4; ++k) {
#pragma unroll
          for (int m = 0; m < kM; ++m) {
#pragma unroll
            for (int i = 0; i < 4; ++i) add_product(sum[m][n][i], __uint_as_float(a[2 * m + i / 2][k]), b[k][i % 2]);
          }
        }
      }
    }
  }
};

}  // namespace flowsmith::core::cuda
