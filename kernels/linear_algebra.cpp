#include "kernels/linear_algebra.h"

#include <cmath>
#include <limits>

#include "kernels/eigen.h"
#include "kernels/noise.h"

namespace flowsmith::core {
namespace {

using LU = Eigen::PartialPivLU<RowMatrix>;

std::vector<double> by_rows(const RowMatrix& matrix) { return {matrix.data(), matrix.data() + matrix.size()}; }

}  // namespace

std::vector<double> random_rotation(int c, std::uint64_t seed) {
  RowMatrix normals(c, c);
  const std::uint32_t index = 0;
  const NoiseStream stream{seed, NoisePurpose::kRotation, 0};
  normal_noise(normals.data(), &index, &stream, 1, 1, normals.size(), Reference{});
  const Eigen::HouseholderQR<RowMatrix> qr(normals);
  RowMatrix q = qr.householderQ();
  for (int k = 0; k < c; ++k) {
    if (qr.matrixQR()(k, k) < 0) q.col(k) = -q.col(k);
  }
  return by_rows(q);
}

PluFactors plu_of(std::span<const double> matrix, int c) {
  const LU lu(square_matrix(matrix.data(), c));
  PluFactors factors;
  factors.permutation.resize(c);
  // permutationP() takes row i of W to row indices[i] of L U.
  for (int i = 0; i < c; ++i) factors.permutation[lu.permutationP().indices()[i]] = std::uint32_t(i);
  factors.lower = by_rows(lu.matrixLU().triangularView<Eigen::UnitLower>());
  factors.upper = by_rows(lu.matrixLU().triangularView<Eigen::StrictlyUpper>());
  for (int i = 0; i < c; ++i) {
    const double pivot = lu.matrixLU()(i, i);
    factors.log_scale.push_back(std::log(std::abs(pivot)));
    factors.sign.push_back(pivot < 0 ? -1 : 1);
  }
  return factors;
}

double log_abs_det(std::span<const double> matrix, int c) {
  return log_abs_det_of(LU(square_matrix(matrix.data(), c)));
}

double condition_number(std::span<const double> matrix, int c) {
  const auto values = square_matrix(matrix.data(), c);
  if (!values.allFinite()) return std::numeric_limits<double>::infinity();
  const Eigen::VectorXd singular = Eigen::JacobiSVD<RowMatrix>(values).singularValues();  // the largest first
  return singular[c - 1] > 0 ? singular[0] / singular[c - 1] : std::numeric_limits<double>::infinity();
}

bool is_singular(std::span<const double> matrix, int c) {
  return condition_number(matrix, c) * c * std::numeric_limits<double>::epsilon() >= 1;
}

}  // namespace flowsmith::core
