// A matrix from its LU factors on the GPU.
#include "kernels/permute.h"
#include "kernels/plu.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

TEST_CASE("gpu LU factors agree with the reference") {
  for (int c : {1, 3, 12, 31, 48}) {
    CAPTURE(c);
    const auto order = random_order(c, 1);
    const auto lower_values = random_normal<float>(c * c, 1), upper_values = random_normal<float>(c * c, 2);
    const auto scales = random_normal<float>(c, 3, 0.3), before = random_normal<float>(c * c, 4);
    std::vector<float> signs(c, 1);
    for (int i = 0; i < c; i += 2) signs[i] = -1;
    // The same sums in double, rounded to float: only exp may differ in its last bit.
    check_gpu(
        [&](auto backend) {
          auto permutation = put(backend, order);
          auto lower = put(backend, lower_values), upper = put(backend, upper_values);
          auto log_scale = put(backend, scales), sign = put(backend, signs), dweight = put(backend, before);
          const PluParameters<float> factors{permutation.data(), lower.data(), upper.data(), log_scale.data(),
                                             sign.data()};
          auto weight = blank<float>(backend, c * c), dlower = blank<float>(backend, c * c);
          auto dupper = put(backend, before), dlog_scale = blank<float>(backend, c);
          compose_plu_forward(weight.data(), factors, c, backend);
          compose_plu_backward({dlower.grad(), {}, {}}, dweight.data(), factors, c, backend);
          compose_plu_backward({{}, dupper.grad(GradMode::kAccumulate), dlog_scale.grad()}, dweight.data(), factors, c,
                               backend);
          compose_plu_backward({}, dweight.data(), factors, c, backend);
          return outputs(weight.host(), dlower.host(), dupper.host(), dlog_scale.host());
        },
        1e-7);
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
