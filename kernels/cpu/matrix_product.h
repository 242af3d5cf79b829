// Products of two matrices by a team of threads, with what a fully connected layer does around them.
#pragma once

#include <cstddef>

#include "kernels/activation.h"

namespace flowsmith::core::cpu {

/// A factor as its side of the product sees it: element i (a row of the left factor, a column of the right one) at
/// depth k, the index of the sum, is data[i * stride + k] if `along_depth`, data[k * stride + i] otherwise.
struct Factor {
  const float* data = nullptr;
  std::ptrdiff_t stride = 0;
  bool along_depth = false;
};

struct ProductSize {
  int rows = 0, columns = 0, depth = 0;
};

/// to[r][c] (+)= act(bias[c] + sum over k of left(r, k) * right(c, k)), `to` without gaps. A null bias is zero. An
/// element adds its terms in the order of k, whatever else is computed and by how many threads.
///
/// The work of a team of threads in two parts: pack() copies the left factor tile by tile, compute() reads the copy, of
/// which others packed parts. So what a layer computes takes one team, whatever number of products it is:
///
///   float* const packed = memory.reserve(product.packed_size());
///   #pragma omp parallel if (worth_threads_for(product.multiply_adds()))
///   {
///     const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
///     product.pack(packed, thread, threads);
///   #pragma omp barrier
///     product.compute(packed, thread, threads);
///   }
class MatrixProduct {
 public:
  MatrixProduct(Grad<float> to, Factor left, Factor right, ProductSize size, const float* bias = nullptr,
                Activation activation = Activation::kNone);

  /// Floats of the copy, a multiple of 16.
  std::size_t packed_size() const;
  /// Of the whole product, in whole vectors. A sum without terms counts as 16: starting and finishing it.
  double multiply_adds() const { return double(size_.rows) * padded_columns_ * (size_.depth + 16); }

  /// Rows of the left factor that a thread packs.
  struct Rows {
    int first, count;
  };
  Rows rows_of(int thread, int threads) const;
  void pack(float* packed, int thread, int threads) const;
  void compute(const float* packed, int thread, int threads) const;

 private:
  int blocks() const { return (size_.rows + tile_rows_ - 1) / tile_rows_; }

  Grad<float> to_;
  Factor left_, right_;
  ProductSize size_;
  const float* bias_;
  Activation activation_;
  int tile_rows_, vectors_;  ///< rows of a register tile, vectors that hold the columns
  int padded_columns_;       ///< in whole vectors
};

/// Waking a team takes a thread as long as this many multiply-adds.
inline bool worth_threads_for(double multiply_adds) { return multiply_adds > 5e5; }

}  // namespace flowsmith::core::cpu
