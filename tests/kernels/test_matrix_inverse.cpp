// Inverse and log|det| on the host.
#include "kernels/linear_algebra.h"
#include "kernels/matrix_inverse.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

TEMPLATE_TEST_CASE("a matrix times its inverse is one, to the rounding of double", "", float, double) {
  for (int c : {1, 3, 31, 257}) {
    const auto matrix = random_normal<TestType>(c * c, 5);
    const std::vector<double> wide(matrix.begin(), matrix.end());
    std::vector<double> inverse(c * c), log_det(1), alone(1);
    matrix_inverse(inverse.data(), log_det.data(), matrix.data(), c, Reference{});
    matrix_inverse(nullptr, alone.data(), matrix.data(), c, Reference{});
    matrix_inverse(inverse.data(), nullptr, matrix.data(), c, Reference{});
    CHECK(same_bits(alone, log_det));
    CHECK(log_det[0] == Approx(log_abs_det(wide, c)).epsilon(1e-13));
    const double bound = 1e-15 * c * condition_number(wide, c);
    for (int i = 0; i < c; ++i) {
      for (int j = 0; j < c; ++j) {
        double sum = 0;
        for (int k = 0; k < c; ++k) sum += wide[i * c + k] * inverse[k * c + j];
        CHECK(std::abs(sum - (i == j)) < bound);
      }
    }
  }
}

TEST_CASE("log|det| of a singular matrix is -inf") {
  const std::vector<double> matrix{1, 2, 2, 4};
  double log_det = 0;
  matrix_inverse(nullptr, &log_det, matrix.data(), 2, Reference{});
  CHECK(log_det == -INFINITY);
}

TEST_CASE("log|det| gradients") {
  for (int c : {1, 3, 12}) {
    check_gradients(
        {random_normal<double>(c * c, 5)},
        [&](const Inputs& in) {
          double log_det = 0;
          matrix_inverse(nullptr, &log_det, in[0].data(), c, Reference{});
          return 0.3 * log_det;
        },
        [&](const Inputs& in, const Gradients& gradients) {
          std::vector<double> inverse(c * c);
          const double dlog_det = 0.3;
          matrix_inverse(inverse.data(), nullptr, in[0].data(), c, Reference{});
          log_abs_det_backward(gradients[0], &dlog_det, inverse.data(), c, Reference{});
        });
  }
}

TEST_CASE("cpu inverse is the reference's") {
  for (int c : {1, 3, 31, 257}) {
    const auto matrix = random_normal<float>(c * c, 5);
    const double dlog_det = 0.3;
    for (GradMode mode : kGradModes) {
      const auto run = [&](auto backend) {
        std::vector<double> inverse(c * c), log_det(1);
        auto dmatrix = random_normal<float>(c * c, 6);
        matrix_inverse(inverse.data(), log_det.data(), matrix.data(), c, backend);
        log_abs_det_backward(Grad<float>{dmatrix.data(), mode}, &dlog_det, inverse.data(), c, backend);
        log_abs_det_backward(Grad<float>{}, &dlog_det, inverse.data(), c, backend);
        return outputs(inverse, log_det, dmatrix);
      };
      check_cpu(run, 0);  // one function
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
