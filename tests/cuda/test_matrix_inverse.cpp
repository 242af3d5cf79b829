// Inverse and log|det| on the GPU against Eigen's.
#include "kernels/matrix_inverse.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

/// Checks one matrix. `bound`: the rounding of double, times the condition of the matrix.
void check_inverse(const std::vector<float>& values, int c, double bound) {
  CAPTURE(c);
  check_gpu(
      [&](auto backend) {
        auto matrix = put(backend, values);
        auto inverse = blank<double>(backend, c * c), log_det = blank<double>(backend, 1);
        auto alone = blank<double>(backend, 1);
        matrix_inverse(inverse.data(), log_det.data(), matrix.data(), c, backend);
        matrix_inverse(nullptr, alone.data(), matrix.data(), c, backend);
        CHECK(same_bits(alone.host(), log_det.host()));
        return outputs(inverse.host(), log_det.host());
      },
      bound);
}

TEST_CASE("gpu inverse and log|det| agree with the reference") {
  // In shared memory, at its limit and beyond, and with more columns than threads.
  for (int c : {1, 2, 3, 5, 12, 31, 48, 64, 65, 257}) check_inverse(random_normal<float>(c * c, 5), c, 1e-15 * c * c);
}

TEST_CASE("gpu inverse takes pivots from other rows") {
  check_inverse({0, 1, 1, 0}, 2, 1e-15);
  check_inverse({0, 0, 2, 1, 0, 0, 0, 3, 0}, 3, 1e-15);
  check_inverse({1e-20f, 1, 1, 1}, 2, 1e-15);
  // A diagonal of zeros: each step takes another row.
  constexpr int c = 40;
  std::vector<float> cycle(c * c);
  for (int i = 0; i < c; ++i) cycle[i * c + (i * 7 + 3) % c] = float(i + 1);
  check_inverse(cycle, c, 1e-15);
}

TEST_CASE("gpu log|det| of a singular matrix is -inf") {
  const DeviceArray<float> matrix(std::vector<float>{1, 2, 2, 4});
  DeviceArray<double> log_det(1);
  matrix_inverse(nullptr, log_det.data(), matrix.data(), 2, test_stream());
  CHECK(log_det.host()[0] == -INFINITY);
}

TEST_CASE("gpu log|det| gradients have the bits of the reference") {
  for (int c : {1, 3, 17}) {
    const auto values = random_normal<double>(c * c, 1);
    const auto before = random_normal<float>(c * c, 2);
    check_gpu_bits([&](auto backend) {
      auto inverse = put(backend, values), dlog_det = put(backend, std::vector<double>{0.3});
      auto dmatrix = blank<float>(backend, c * c), sum = put(backend, before);
      for (auto gradient : {dmatrix.grad(), sum.grad(GradMode::kAccumulate), Grad<float>{}}) {
        log_abs_det_backward(gradient, dlog_det.data(), inverse.data(), c, backend);
      }
      return outputs(dmatrix.host(), sum.host());
    });
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
