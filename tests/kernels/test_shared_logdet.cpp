// Log-determinants that are the same for every image.
#include "kernels/shared_logdet.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

TEST_CASE("the sum of the terms is added to every image") {
  std::vector<double> logdet{1, 2};
  const std::vector<float> terms{0.5f, 0.25f, -2};
  shared_logdet_forward(logdet.data(), terms.data(), 4, 3, 2, Reference{});
  CHECK(logdet == std::vector<double>{-4, -3});
}

TEST_CASE("shared log-determinant gradients") {
  const auto dlogdet = random_normal<double>(3, 1);
  check_gradients(
      {random_normal<double>(5, 2)},
      [&](const Inputs& in) {
        std::vector<double> logdet(3);
        shared_logdet_forward(logdet.data(), in[0].data(), 12, 5, 3, Reference{});
        return dot(logdet, dlogdet);
      },
      [&](const Inputs&, const Gradients& gradients) {
        shared_logdet_backward(gradients[0], dlogdet.data(), 12, 5, 3, Reference{});
      });
}

TEMPLATE_TEST_CASE("cpu shared log-determinants are the reference's", "", float, double) {
  for (int count : {1, 31, 257}) {
    for (GradMode mode : kGradModes) {
      const auto terms = random_normal<TestType>(count, 1);
      const auto dlogdet = random_normal<double>(31, 2);
      const auto run = [&](auto backend) {
        std::vector<double> logdet(31, 0.5);
        auto dterms = random_normal<TestType>(count, 3);
        shared_logdet_forward(logdet.data(), terms.data(), -6, count, 31, backend);
        shared_logdet_backward(Grad<TestType>{dterms.data(), mode}, dlogdet.data(), -6, count, 31, backend);
        shared_logdet_backward(Grad<TestType>{}, dlogdet.data(), -6, count, 31, backend);
        return outputs(logdet, dterms);
      };
      check_cpu(run, 0);  // the same loops
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
