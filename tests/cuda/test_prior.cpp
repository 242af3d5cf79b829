// The prior and the split on the GPU: densities to rounding, everything else to the bit.
#include "kernels/prior.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

TEMPLATE_TEST_CASE("gpu log-density agrees with the reference", "", float, double) {
  for (int n : {1, 3}) {
    for (std::size_t per_image : {1, 7, 28, 784, 1027}) {
      CAPTURE(n, per_image);
      const auto values = random_normal<TestType>(n * per_image, 1), before = random_normal<TestType>(n * per_image, 2);
      const auto dlogp = random_normal<double>(n, 3);
      // Sums in double, in another order.
      check_gpu(
          [&](auto backend) {
            auto z = put(backend, values);
            auto logp = put(backend, std::vector<double>(n, 2.5));
            gaussian_log_density_forward(logp.data(), z.data(), n, per_image, backend);
            return outputs(logp.host());
          },
          1e-14);
      check_gpu_bits([&](auto backend) {
        auto z = put(backend, values), dz = blank<TestType>(backend, values.size()), sum = put(backend, before);
        auto d = put(backend, dlogp);
        for (auto gradient : {dz.grad(), sum.grad(GradMode::kAccumulate), Grad<TestType>{}}) {
          gaussian_log_density_backward(gradient, d.data(), z.data(), n, per_image, backend);
        }
        return outputs(dz.host(), sum.host());
      });
    }
  }
}

TEMPLATE_TEST_CASE("gpu split agrees with the reference", "", float, double) {
  for (const MapShape& shape : {MapShape{1, 1, 1, 1}, {1, 1, 1, 2}, {3, 7, 9, 3}, {1, 14, 14, 8}, {3, 7, 1, 20}}) {
    CAPTURE(shape.n, shape.h, shape.w, shape.c);
    const std::size_t pixels = shape.n * shape.pixels(), latents = pixels * (shape.c / 2),
                      rest = pixels * (shape.c - shape.c / 2);
    const auto values = random_normal<TestType>(shape.size(), 1), before = random_normal<TestType>(shape.size(), 2);
    const auto dlogp = random_normal<double>(shape.n, 3);
    // As above.
    check_gpu(
        [&](auto backend) {
          auto z = put(backend, values), kept = blank<TestType>(backend, rest);
          auto logp = put(backend, std::vector<double>(shape.n, 2.5));
          split_forward(kept.data(), static_cast<TestType*>(nullptr), logp.data(), z.data(), shape, backend);
          return outputs(logp.host(), kept.host());
        },
        1e-14);
    check_gpu_bits([&](auto backend) {
      auto z = put(backend, values), kept = blank<TestType>(backend, rest), latent = blank<TestType>(backend, latents);
      auto back = blank<TestType>(backend, values.size()), dz = blank<TestType>(backend, values.size());
      auto sum = put(backend, before);
      auto logp = put(backend, std::vector<double>(shape.n)), d = put(backend, dlogp);
      split_forward(kept.data(), latent.data(), logp.data(), z.data(), shape, backend);
      split_inverse(back.data(), kept.data(), latent.data(), shape, backend);
      CHECK(same_bits(back.host(), values));
      for (auto gradient : {dz.grad(), sum.grad(GradMode::kAccumulate), Grad<TestType>{}}) {
        split_backward(gradient, kept.data(), d.data(), z.data(), shape, backend);
      }
      return outputs(kept.host(), latent.host(), dz.host(), sum.host());
    });
  }
}

TEST_CASE("a NaN stays in its image on the gpu, and an empty batch changes nothing") {
  const DeviceArray<float> z(std::vector<float>{1, NAN, 2, 3});
  DeviceArray<double> logp(std::vector<double>{0, 0});
  DeviceArray<float> kept(2), latent(2), dz(std::vector<float>{7, 7, 7, 7});
  const TestGpu gpu = test_stream();
  split_forward(kept.data(), latent.data(), logp.data(), z.data(), {2, 1, 1, 2}, gpu);
  CHECK(std::isnan(logp.host()[0]));
  CHECK(std::isfinite(logp.host()[1]));
  DeviceArray<double> kept_logp(std::vector<double>{0, 0});
  gaussian_log_density_forward(kept_logp.data(), z.data(), 0, 2, gpu);
  gaussian_log_density_backward(dz.grad(), kept_logp.data(), z.data(), 0, 2, gpu);
  split_forward(kept.data(), latent.data(), kept_logp.data(), z.data(), {0, 1, 1, 2}, gpu);
  split_inverse(dz.data(), kept.data(), latent.data(), {0, 1, 1, 2}, gpu);
  split_backward(dz.grad(), kept.data(), kept_logp.data(), z.data(), {0, 1, 1, 2}, gpu);
  CHECK(kept_logp.host() == std::vector<double>{0, 0});
  CHECK(dz.host() == std::vector<float>{7, 7, 7, 7});
}

}  // namespace
}  // namespace flowsmith::core::testing
