// Eigen as it is used here: by one thread, so that results do not depend on their number, and on matrices by rows.
#pragma once

#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Dense>

namespace flowsmith::core {

using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The (c,c) numbers at `values` as a matrix.
template <class S>
auto square_matrix(S* values, int c) {
  using Matrix = Eigen::Matrix<std::remove_const_t<S>, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  return Eigen::Map<std::conditional_t<std::is_const_v<S>, const Matrix, Matrix>>(values, c, c);
}

/// log|det| from a decomposition with row pivots: a product of pivots would leave the range of double long before.
template <class Decomposition>
double log_abs_det_of(const Decomposition& lu) {
  return lu.matrixLU().diagonal().array().abs().log().sum();
}

}  // namespace flowsmith::core
