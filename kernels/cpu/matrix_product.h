// A product of two matrices by all threads, with what a fully connected layer does around it.
#pragma once

#include <cstddef>

#include "kernels/activation.h"

namespace flowsmith::cpu {

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
void matrix_product(Grad<float> to, Factor left, Factor right, ProductSize size, const float* bias = nullptr,
                    Activation activation = Activation::kNone);

}  // namespace flowsmith::cpu
