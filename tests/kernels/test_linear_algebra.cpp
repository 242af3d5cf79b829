// What invertible linear layers start from and are checked by.
#include "kernels/linear_algebra.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

/// a b, of matrices by rows.
std::vector<double> product(const std::vector<double>& a, const std::vector<double>& b, int c) {
  std::vector<double> result(c * c);
  for (int i = 0; i < c; ++i) {
    for (int j = 0; j < c; ++j) {
      for (int k = 0; k < c; ++k) result[i * c + j] += a[i * c + k] * b[k * c + j];
    }
  }
  return result;
}

std::vector<double> transposed(const std::vector<double>& a, int c) {
  std::vector<double> result(c * c);
  for (int i = 0; i < c * c; ++i) result[i] = a[i % c * c + i / c];
  return result;
}

std::vector<double> identity(int c) {
  std::vector<double> result(c * c);
  for (int i = 0; i < c; ++i) result[i * c + i] = 1;
  return result;
}

TEST_CASE("a random rotation is orthogonal, and depends on its seed alone") {
  for (int c : {1, 3, 12, 48, 257}) {
    const auto q = random_rotation(c, 3);
    const auto qq = product(q, transposed(q, c), c);
    for (int i = 0; i < c * c; ++i) CHECK(std::abs(qq[i] - identity(c)[i]) < 1e-12);  // Householder: some c * 1e-16
    CHECK(same_bits(q, random_rotation(c, 3)));
    if (c > 1) CHECK_FALSE(same_bits(q, random_rotation(c, 4)));
    CHECK(std::abs(log_abs_det(q, c)) < 1e-12);
    CHECK(condition_number(q, c) == Approx(1).epsilon(1e-12));
  }
}

TEST_CASE("random rotations point everywhere equally often") {
  // Over the Haar measure every element has mean 0 and mean square 1/c, and the trace has mean 0 and variance 1:
  // without the signs of R's diagonal the trace would lean to one side. 4000 draws: five standard deviations.
  constexpr int c = 3, kDraws = 4000;
  double first = 0, squares = 0, trace = 0, trace_squares = 0;
  for (int seed = 0; seed < kDraws; ++seed) {
    const auto q = random_rotation(c, seed);
    first += q[0];
    squares += q[0] * q[0];
    trace += q[0] + q[4] + q[8];
    trace_squares += std::pow(q[0] + q[4] + q[8], 2);
  }
  CHECK(std::abs(first / kDraws) < 5 * std::sqrt(1.0 / c / kDraws));
  CHECK(squares / kDraws == Approx(1.0 / c).margin(5 * 0.3 / std::sqrt(kDraws)));
  CHECK(std::abs(trace / kDraws) < 5 / std::sqrt(kDraws));
  CHECK(trace_squares / kDraws == Approx(1).margin(5 * 1.5 / std::sqrt(kDraws)));
}

TEST_CASE("LU factors give the matrix back") {
  for (int c : {1, 3, 12, 48}) {
    const auto matrix = random_normal<double>(c * c, 5);
    const PluFactors f = plu_of(matrix, c);
    std::vector<double> upper = f.upper;
    double sum = 0;
    for (int i = 0; i < c; ++i) {
      CHECK(f.lower[i * c + i] == 1);
      CHECK(f.upper[i * c + i] == 0);
      CHECK(std::abs(f.sign[i]) == 1);
      for (int j = 0; j < c; ++j) CHECK((i < j ? f.lower : f.upper)[i * c + j] * double(i != j) == 0);
      upper[i * c + i] = f.sign[i] * std::exp(f.log_scale[i]);
      sum += f.log_scale[i];
    }
    const auto lu = product(f.lower, upper, c);
    for (int i = 0; i < c; ++i) {
      for (int j = 0; j < c; ++j) CHECK(std::abs(matrix[f.permutation[i] * c + j] - lu[i * c + j]) < 1e-13 * c);
    }
    CHECK(sum == Approx(log_abs_det(matrix, c)).epsilon(1e-12));
  }
}

TEST_CASE("log|det| of small matrices by hand, and where a product of pivots would overflow") {
  CHECK(log_abs_det(std::vector<double>{1, 2, 3, 4}, 2) == Approx(std::log(2.0)).epsilon(1e-14));
  CHECK(log_abs_det(std::vector<double>{0, 1, 1, 0}, 2) == 0);
  CHECK(log_abs_det(std::vector<double>{1, 2, 2, 4}, 2) == -INFINITY);
  std::vector<double> large = identity(100);
  for (double& value : large) value *= 1e4;
  CHECK(log_abs_det(large, 100) == Approx(100 * std::log(1e4)).epsilon(1e-14));
}

TEST_CASE("the condition number, and what counts as singular") {
  CHECK(condition_number(std::vector<double>{8, 0, 0, -2}, 2) == Approx(4).epsilon(1e-14));
  CHECK_FALSE(is_singular(std::vector<double>{1e-8, 0, 0, 1}, 2));
  CHECK(is_singular(std::vector<double>{0, 0, 0, 1}, 2));
  CHECK(is_singular(std::vector<double>{1, 2, 2, 4}, 2));
  CHECK(is_singular(std::vector<double>{1, 1 + 1e-16, 1, 1}, 2));
  CHECK(is_singular(std::vector<double>{1, 0, 0, NAN}, 2));
  CHECK(is_singular(std::vector<double>{1, 0, 0, INFINITY}, 2));
  CHECK(is_singular(std::vector<double>{0}, 1));
  auto rows = random_normal<double>(48 * 48, 7);
  CHECK_FALSE(is_singular(rows, 48));
  for (int j = 0; j < 48; ++j) rows[5 * 48 + j] = 3 * rows[9 * 48 + j] - rows[j];
  CHECK(is_singular(rows, 48));
}

}  // namespace
}  // namespace flowsmith::core::testing
