// Log-determinants that are the same for every image, on the GPU.
#include "kernels/shared_logdet.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

TEMPLATE_TEST_CASE("gpu shared log-determinants agree with the reference", "", float, double) {
  for (int n : {0, 1, 31, 300}) {
    for (int count : {1, 12, 300}) {
      CAPTURE(n, count);
      const auto values = random_normal<TestType>(count, 1), before = random_normal<TestType>(count, 2);
      const auto gradients = random_normal<double>(n, 3);
      // Sums in double in another order, rounded to the type of the terms.
      check_gpu(
          [&](auto backend) {
            auto logdet = put(backend, std::vector<double>(n, 2.5)), dlogdet = put(backend, gradients);
            auto terms = put(backend, values), dterms = blank<TestType>(backend, count), sum = put(backend, before);
            shared_logdet_forward(logdet.data(), terms.data(), -6, count, n, backend);
            for (auto gradient : {dterms.grad(), sum.grad(GradMode::kAccumulate), Grad<TestType>{}}) {
              shared_logdet_backward(gradient, dlogdet.data(), -6, count, n, backend);
            }
            return outputs(logdet.host(), dterms.host(), sum.host());
          },
          std::is_same_v<TestType, float> ? 1e-7 : 1e-13);
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
