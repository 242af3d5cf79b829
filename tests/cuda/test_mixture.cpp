// The mixture of normals on the GPU against the reference.
#include "kernels/mixture.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

TEMPLATE_TEST_CASE("gpu mixture agrees with the reference", "", float, double) {
  for (auto [images, size, count] : {std::tuple{1, 1, 1}, {3, 31, 2}, {2, 257, 3}, {257, 3, 5}}) {
    const int n = images, components = count;
    const std::size_t per_image = size, parameters = components * per_image;
    CAPTURE(n, per_image, components);
    const auto values = random_normal<TestType>(n * per_image, 1), before = random_normal<TestType>(n * per_image, 2);
    const auto logits = random_normal<float>(components, 3), log_scales = random_normal<float>(parameters, 4, 0.3);
    // Components that overlap, so that several of them have a share in each image.
    const auto means = random_normal<float>(parameters, 5, 0.2), held = random_normal<float>(parameters, 6);
    const auto dlogp = random_normal<double>(n, 7);
    // Sums of doubles in another order, and exp and log of a GPU; gradients and samples are rounded to float once,
    // which such a difference may turn.
    check_gpu(
        [&](auto backend) {
          auto z = put(backend, values), dz = blank<TestType>(backend, values.size()), sum = put(backend, before);
          auto weight = put(backend, logits), mean = put(backend, means), log_scale = put(backend, log_scales);
          auto dweight = blank<float>(backend, components), dmean = put(backend, held);
          auto dlog_scale = blank<float>(backend, parameters);
          auto logp = put(backend, std::vector<double>(n, 2.5)), d = put(backend, dlogp);
          auto responsibility = blank<double>(backend, std::size_t(n) * components);
          const MixtureParameters<float> mixture{weight.data(), mean.data(), log_scale.data(), components};
          mixture_log_density_forward(logp.data(), responsibility.data(), z.data(), mixture, n, per_image, backend);
          const auto backward = [&](Grad<TestType> gradient, MixtureGrads<float> grads) {
            mixture_log_density_backward(gradient, grads, d.data(), responsibility.data(), z.data(), mixture, n,
                                         per_image, backend);
          };
          backward(dz.grad(), {dweight.grad(), {}, {}});
          backward({}, {{}, dmean.grad(GradMode::kAccumulate), {}});
          backward(sum.grad(GradMode::kAccumulate), {{}, {}, dlog_scale.grad()});
          backward({}, {});
          return outputs(logp.host(), responsibility.host(), dz.host(), sum.host(), dweight.host(), dmean.host(),
                         dlog_scale.host());
        },
        1e-7);
    check_gpu(
        [&](auto backend) {
          auto weight = put(backend, logits), mean = put(backend, means), log_scale = put(backend, log_scales);
          auto z = blank<TestType>(backend, values.size());
          std::vector<std::uint32_t> numbers(n);
          for (int i = 0; i < n; ++i) numbers[i] = std::uint32_t(i * 7919);
          auto index = put(backend, numbers);
          auto stream = put(backend, std::vector<NoiseStream>{{9, NoisePurpose::kPrior, 1}});
          mixture_sample(z.data(), index.data(), stream.data(), 0.7,
                         MixtureParameters<float>{weight.data(), mean.data(), log_scale.data(), components}, n,
                         per_image, backend);
          return outputs(z.host());
        },
        1e-7);
  }
}

TEST_CASE("gpu mixture stays finite far from its components, and takes an empty batch") {
  const TestGpu gpu = test_stream();
  const DeviceArray<float> z(std::vector<float>{1e4f, -1e4f});
  const DeviceArray<float> logits(std::vector<float>{1e4f, -1e4f}), mean(std::vector<float>{0, 0, 1e4f, -1e4f});
  const DeviceArray<float> log_scale(std::vector<float>{0, 0, -1e4f, 1e4f});
  const MixtureParameters<float> mixture{logits.data(), mean.data(), log_scale.data(), 2};
  DeviceArray<double> logp(std::vector<double>{0}), responsibility(2);
  DeviceArray<float> dz(2), dlogits(2), dmean(4), dlog_scale(4);
  const MixtureGrads<float> grads{dlogits.grad(), dmean.grad(), dlog_scale.grad()};
  mixture_log_density_forward(logp.data(), responsibility.data(), z.data(), mixture, 1, 2, gpu);
  mixture_log_density_backward(dz.grad(), grads, logp.data(), responsibility.data(), z.data(), mixture, 1, 2, gpu);
  for (const auto& values : outputs(logp.host(), dz.host(), dlogits.host(), dmean.host(), dlog_scale.host())) {
    for (double value : values) CHECK(std::isfinite(value));
  }
  const std::vector<double> before = logp.host();
  mixture_log_density_forward(logp.data(), responsibility.data(), z.data(), mixture, 0, 2, gpu);
  CHECK(logp.host() == before);
  mixture_log_density_backward(dz.grad(), grads, logp.data(), responsibility.data(), z.data(), mixture, 0, 2, gpu);
  for (float value : dmean.host()) CHECK(value == 0);  // the sum over no image
  const DeviceArray<NoiseStream> stream(std::vector<NoiseStream>{{}});
  const DeviceArray<std::uint32_t> index(std::vector<std::uint32_t>{1});
  mixture_sample(dz.data(), index.data(), stream.data(), 1, mixture, 0, 2, gpu);
}

}  // namespace
}  // namespace flowsmith::core::testing
