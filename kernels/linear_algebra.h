// Linear algebra of small square matrices on the host, in double, by Eigen: what invertible linear layers start from
// and are checked by. Matrices are (c,c), row by row.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace flowsmith::core {

/// A random orthogonal matrix, each equally likely (Haar measure): Q of the QR decomposition of a matrix of normals,
/// its columns' signs those that make R's diagonal positive (Stewart, "The efficient generation of random orthogonal
/// matrices", 1980). The same for the same seed.
std::vector<double> random_rotation(int c, std::uint64_t seed);

/// W = P L (U + diag(sign * exp(log_scale))): kernels/plu.h.
struct PluFactors {
  std::vector<std::uint32_t> permutation;  ///< row i of L (U + ...) is row permutation[i] of W
  std::vector<double> lower;               ///< (c,c), 1 on the diagonal and 0 above it
  std::vector<double> upper;               ///< (c,c), 0 on the diagonal and below it
  std::vector<double> log_scale, sign;     ///< (c)
};

/// The factors of a matrix that is not singular; of a singular one, some log_scale is -inf.
PluFactors plu_of(std::span<const double> matrix, int c);

/// log|det|; -inf of a singular matrix.
double log_abs_det(std::span<const double> matrix, int c);

/// The largest singular value over the smallest; infinite for a singular matrix and for one that is not finite.
double condition_number(std::span<const double> matrix, int c);

/// Whether a matrix cannot be inverted in double: it is not finite, or its smallest singular value is what rounding
/// leaves of 0, at most c * 2^-52 of the largest.
bool is_singular(std::span<const double> matrix, int c);

}  // namespace flowsmith::core
