// Dequantization, logit and sigmoid on the GPU against the reference in double; the fused forms against the two passes.
#include "kernels/dequantization.h"
#include "kernels/noise.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

constexpr double kNoAlpha = 0;

constexpr int kBatches[] = {1, 3};
constexpr std::size_t kSizes[] = {1, 7, 28, 784, 1029};

constexpr Dequantizer kDequantizers[] = {{}, {32, 0.05}, {2, 1e-5}};

/// A few roundings in the logarithms and quotients of an element; values are of order 1 to 10.
template <class T>
constexpr double kBound = sizeof(T) == 4 ? 2e-6 : 1e-13;

TEMPLATE_TEST_CASE("gpu dequantization agrees with the reference", "", float, double) {
  for (int n : kBatches) {
    for (std::size_t per_image : kSizes) {
      CAPTURE(n, per_image);
      const std::size_t size = n * per_image;
      const auto pixels = random_bytes(size, 1);
      const auto noise = random_uniform<float>(size, 2), dz = random_normal<float>(size, 3);
      const auto dlogdet = random_normal<double>(n, 4);
      for (const Dequantizer& dequantizer : kDequantizers) {
        check_gpu(
            [&](auto backend) {
              using T = Real<TestType, decltype(backend)>;
              auto image = put(backend, pixels);
              auto u = put(backend, as<T>(noise)), dvalue = put(backend, as<T>(dz));
              auto z = blank<T>(backend, size), du = blank<T>(backend, size), more = put(backend, as<T>(noise));
              auto logdet = put(backend, std::vector<double>(n, 2.5)), dl = put(backend, dlogdet);
              dequantize_forward(z.data(), logdet.data(), image.data(), u.data(), n, per_image, dequantizer, backend);
              for (auto gradient : {du.grad(), more.grad(GradMode::kAccumulate), Grad<T>{}}) {
                dequantize_backward(gradient, dvalue.data(), dl.data(), image.data(), u.data(), n, per_image,
                                    dequantizer, backend);
              }
              return outputs(z.host(), logdet.host(), du.host(), more.host());
            },
            kBound<TestType>);
      }
    }
  }
}

TEMPLATE_TEST_CASE("gpu logit and sigmoid agree with the reference", "", float, double) {
  for (int n : kBatches) {
    for (std::size_t per_image : kSizes) {
      CAPTURE(n, per_image);
      const std::size_t size = n * per_image;
      const auto noise = random_uniform<float>(size, 2), real = random_normal<float>(size, 3, 3);
      const auto du = random_normal<float>(size, 4);
      const auto dlogdet = random_normal<double>(n, 5);
      for (const Dequantizer& dequantizer : kDequantizers) {
        check_gpu(
            [&](auto backend) {
              using T = Real<TestType, decltype(backend)>;
              auto u = put(backend, as<T>(noise)), v = put(backend, as<T>(real)), dvalue = put(backend, as<T>(du));
              auto logits = blank<T>(backend, size), units = blank<T>(backend, size), dv = blank<T>(backend, size);
              auto more = put(backend, as<T>(noise));
              auto up = put(backend, std::vector<double>(n, 2.5)), down = put(backend, std::vector<double>(n, -1.5));
              auto dl = put(backend, dlogdet);
              logit_forward(logits.data(), up.data(), u.data(), n, per_image, dequantizer, backend);
              sigmoid_forward(units.data(), down.data(), v.data(), n, per_image, dequantizer.alpha, backend);
              for (auto gradient : {dv.grad(), more.grad(GradMode::kAccumulate), Grad<T>{}}) {
                sigmoid_backward(gradient, dvalue.data(), dl.data(), v.data(), n, per_image, dequantizer.alpha,
                                 backend);
              }
              return outputs(logits.host(), up.host(), units.host(), down.host(), dv.host(), more.host());
            },
            kBound<TestType>);
      }
    }
  }
}

TEMPLATE_TEST_CASE("gpu dequantization that draws its noise has the bits of the two passes", "", float, double) {
  for (int n : kBatches) {
    for (std::size_t per_image : kSizes) {
      CAPTURE(n, per_image);
      const std::size_t size = n * per_image;
      const DeviceArray<std::uint8_t> image(random_bytes(size, 1));
      const DeviceArray<std::uint32_t> index(std::vector<std::uint32_t>{9, 0xffffffffu, 3});
      const DeviceArray<NoiseStream> stream(std::vector<NoiseStream>{{5, NoisePurpose::kValidation, 7}});
      const TestGpu gpu = test_stream();
      const auto two_passes = [&] {
        DeviceArray<TestType> u(size), z(size), v(size);
        DeviceArray<double> z_logdet(std::vector<double>(n, 0.5)), v_logdet(std::vector<double>(n, 0.5));
        uniform_noise(u.data(), index.data(), stream.data(), n, per_image, gpu);
        dequantize_forward(z.data(), z_logdet.data(), image.data(), u.data(), n, per_image, Dequantizer{}, gpu);
        logit_forward(v.data(), v_logdet.data(), u.data(), n, per_image, Dequantizer{}, gpu);
        return outputs(z.host(), z_logdet.host(), v.host(), v_logdet.host());
      };
      const Outputs want = two_passes();
      const Outputs got = run_schedules([&] {
        DeviceArray<TestType> z(size), v(size);
        DeviceArray<double> z_logdet(std::vector<double>(n, 0.5)), v_logdet(std::vector<double>(n, 0.5));
        noisy_dequantize_forward(z.data(), z_logdet.data(), image.data(), index.data(), stream.data(), n, per_image, {},
                                 gpu);
        noisy_logit_forward(v.data(), v_logdet.data(), index.data(), stream.data(), n, per_image, Dequantizer{}, gpu);
        return outputs(z.host(), z_logdet.host(), v.host(), v_logdet.host());
      });
      for (std::size_t i = 0; i < want.size(); ++i) CHECK(same_bits(got[i], want[i]));
    }
  }
}

TEMPLATE_TEST_CASE("gpu dequantize_inverse agrees with the reference and clamps", "", float, double) {
  for (std::size_t size : {1, 3, 28, 1027}) {
    auto z = random_normal<TestType>(size, 1, 4);
    const double ends[] = {INFINITY, -INFINITY, NAN, 1e4, -1e4, 0.0, -0.0};
    for (std::size_t i = 0; i < std::size(ends) && i < size / 2; ++i) z[i] = TestType(ends[i]);
    for (const Dequantizer& dequantizer : kDequantizers) {
      check_gpu_bits([&](auto backend) {
        auto image = blank<std::uint8_t>(backend, size);
        auto in = put(backend, z);
        dequantize_inverse(image.data(), in.data(), 1, size, dequantizer, backend);
        return outputs(image.host());
      });
    }
  }
}

TEST_CASE("gpu dequantization in double gives every pixel back") {
  std::vector<std::uint8_t> pixels;
  for (int i = 0; i < 3 * 256; ++i) pixels.push_back(std::uint8_t(i));
  const DeviceArray<std::uint8_t> image(pixels);
  const DeviceArray<std::uint32_t> index(std::vector<std::uint32_t>{1, 2, 3});
  const DeviceArray<NoiseStream> stream(std::vector<NoiseStream>{{5, NoisePurpose::kScoring, 0}});
  const Outputs got = run_schedules([&] {
    DeviceArray<double> z(pixels.size()), logdet(std::vector<double>(3));
    DeviceArray<std::uint8_t> back(pixels.size());
    noisy_dequantize_forward(z.data(), logdet.data(), image.data(), index.data(), stream.data(), 3, 256, Dequantizer{},
                             test_stream());
    dequantize_inverse(back.data(), z.data(), 3, 256, Dequantizer{}, test_stream());
    return outputs(back.host());
  });
  CHECK(same_bits(got[0], as<double>(pixels)));
}

TEST_CASE("gpu sigmoid_forward in double stays inside (0, 1) and its log-derivative finite") {
  const DeviceArray<double> v(std::vector<double>{-800, 800, -40, 40, 0});
  DeviceArray<double> u(5), logdet(std::vector<double>{0});
  sigmoid_forward(u.data(), logdet.data(), v.data(), 1, 5, kNoAlpha, test_stream());
  for (double value : u.host()) {
    CHECK(value >= std::ldexp(1, -32));
    CHECK(value <= 1 - std::ldexp(1, -32));
  }
  CHECK(logdet.host()[0] == Approx(-1680 - 2 * std::log(2.0)).epsilon(1e-14));
}

TEST_CASE("gpu dequantization may work in place and takes empty batches") {
  const std::size_t per_image = 30;
  const auto noise = random_uniform<float>(3 * per_image, 1);
  const DeviceArray<std::uint8_t> image(random_bytes(3 * per_image, 2));
  const TestGpu gpu = test_stream();
  DeviceArray<float> u(noise), z(noise.size());
  DeviceArray<double> logdet(std::vector<double>(3)), again(std::vector<double>(3));
  dequantize_forward(z.data(), logdet.data(), image.data(), u.data(), 3, per_image, Dequantizer{}, gpu);
  dequantize_forward(u.data(), again.data(), image.data(), u.data(), 3, per_image, Dequantizer{}, gpu);
  CHECK(same_bits(u.host(), z.host()));
  CHECK(same_bits(logdet.host(), again.host()));

  const DeviceArray<std::uint32_t> index(std::vector<std::uint32_t>{1});
  const DeviceArray<NoiseStream> stream(std::vector<NoiseStream>{{}});
  DeviceArray<std::uint8_t> bytes(std::vector<std::uint8_t>{9});
  dequantize_forward(u.data(), again.data(), image.data(), u.data(), 0, per_image, Dequantizer{}, gpu);
  noisy_dequantize_forward(u.data(), again.data(), image.data(), index.data(), stream.data(), 0, per_image,
                           Dequantizer{}, gpu);
  dequantize_inverse(bytes.data(), u.data(), 0, per_image, Dequantizer{}, gpu);
  dequantize_backward(u.grad(), z.data(), again.data(), image.data(), u.data(), 0, per_image, Dequantizer{}, gpu);
  logit_forward(u.data(), again.data(), u.data(), 0, per_image, Dequantizer{}, gpu);
  noisy_logit_forward(u.data(), again.data(), index.data(), stream.data(), 0, per_image, Dequantizer{}, gpu);
  sigmoid_forward(u.data(), again.data(), u.data(), 0, per_image, kNoAlpha, gpu);
  sigmoid_backward(u.grad(), z.data(), again.data(), u.data(), 0, per_image, kNoAlpha, gpu);
  CHECK(same_bits(u.host(), z.host()));
  CHECK(same_bits(logdet.host(), again.host()));
  CHECK(bytes.host()[0] == 9);
}

}  // namespace
}  // namespace flowsmith::core::testing
