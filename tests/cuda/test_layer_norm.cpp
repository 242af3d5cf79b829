// Layer norm on the GPU against the reference in double.
#include "kernels/layer_norm.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

/// 28 x 28 x 16 has several slices per image, 257 channels two groups of them (channel_sums.h).
constexpr MapShape kShapes[] = {{1, 1, 1, 2},  {3, 3, 5, 3},   {2, 7, 9, 20}, {1, 28, 28, 16},
                                {3, 1, 7, 48}, {1, 2, 3, 257}, {1, 9, 1, 64}, {3, 1, 7, 32}};

struct Values {
  MapShape shape;
  std::vector<float> x = random_normal<float>(shape.size(), 1), dy = random_normal<float>(shape.size(), 2);
  std::vector<float> gamma = random_normal<float>(shape.c, 3), beta = random_normal<float>(shape.c, 4);
};

TEST_CASE("gpu layer norm agrees with the reference") {
  for (const MapShape& shape : kShapes) {
    for (GradMode mode : kGradModes) {
      CAPTURE(shape.n, shape.h, shape.w, shape.c, int(mode));
      Values values{shape};
      for (float& value : values.x) value += 3;   // a mean of several standard deviations
      for (float& value : values.dy) value += 1;  // and sums over the batch that do not cancel
      // Roundings of 6e-8 in sums over the channels. Few channels may nearly agree, and lose digits.
      check_gpu(
          [&](auto backend) {
            using T = Real<float, decltype(backend)>;
            const bool add = mode == GradMode::kAccumulate;
            const auto gradient = [&](const std::vector<float>& before) {
              return add ? put(backend, as<T>(before)) : blank<T>(backend, before.size());
            };
            auto x = put(backend, as<T>(values.x)), dy = put(backend, as<T>(values.dy));
            auto gamma = put(backend, as<T>(values.gamma)), beta = put(backend, as<T>(values.beta));
            auto y = blank<T>(backend, shape.size());
            auto dx = gradient(values.x), dgamma = gradient(values.gamma), dbeta = gradient(values.beta);
            layer_norm_forward(y.data(), x.data(), gamma.data(), beta.data(), shape,
                               shape.c % 2 == 0 ? 0.1 : kLayerNormEps, backend);
            layer_norm_backward(dx.grad(mode), dgamma.grad(mode), dbeta.grad(mode), dy.data(), x.data(), gamma.data(),
                                shape, shape.c % 2 == 0 ? 0.1 : kLayerNormEps, backend);
            return outputs(y.host(), dx.host(), dgamma.host(), dbeta.host());
          },
          shape.c < 16 ? 1e-3 : 2e-6);
    }
  }
}

TEST_CASE("gpu layer norm of one channel is beta, and keeps NaN in its pixel") {
  const DeviceArray<float> gamma(std::vector<float>{2}), beta(std::vector<float>{0.25f});
  const DeviceArray<float> x(std::vector<float>{3, -1e30f, NAN, 0});
  DeviceArray<float> y(4), dx(4);
  layer_norm_forward(y.data(), x.data(), gamma.data(), beta.data(), {1, 1, 4, 1}, kLayerNormEps, test_stream());
  layer_norm_backward(dx.grad(), {}, {}, x.data(), x.data(), gamma.data(), {1, 1, 4, 1}, kLayerNormEps, test_stream());
  for (int i : {0, 1, 3}) {
    CHECK(y.host()[i] == 0.25f);
    CHECK(dx.host()[i] == 0);
  }
  CHECK(std::isnan(y.host()[2]));
  CHECK(std::isnan(dx.host()[2]));
}

TEST_CASE("gpu gradients of layer norm that nobody asked for change nothing else, nor does an empty batch") {
  const MapShape shape{3, 2, 3, 20};
  const Values values{shape};
  const DeviceArray<float> x(values.x), dy(values.dy), gamma(values.gamma);
  const auto run = [&](MapShape of, bool with_dx, bool with_dgamma, bool with_dbeta) {
    DeviceArray<float> dx(values.x), dgamma(values.gamma), dbeta(values.beta);
    layer_norm_backward(with_dx ? dx.grad() : Grad<float>{}, with_dgamma ? dgamma.grad() : Grad<float>{},
                        with_dbeta ? dbeta.grad() : Grad<float>{}, dy.data(), x.data(), gamma.data(), of, kLayerNormEps,
                        test_stream());
    return outputs(dx.host(), dgamma.host(), dbeta.host());
  };
  const Outputs all = run(shape, true, true, true);
  const Outputs none = run(shape, false, false, false);
  CHECK(same_bits(none[0], as<double>(values.x)));
  CHECK(same_bits(none[1], as<double>(values.gamma)));
  CHECK(same_bits(none[2], as<double>(values.beta)));
  for (int which = 0; which < 3; ++which) {
    const Outputs one = run(shape, which == 0, which == 1, which == 2);
    for (int i = 0; i < 3; ++i) CHECK(same_bits(one[i], i == which ? all[i] : none[i]));
  }
  const Outputs empty = run({0, 2, 3, 20}, true, true, true);
  CHECK(same_bits(empty[0], as<double>(values.x)));
  CHECK(empty[1] == std::vector<double>(20, 0));
  CHECK(empty[2] == std::vector<double>(20, 0));
  DeviceArray<float> y(values.x);
  layer_norm_forward(y.data(), x.data(), gamma.data(), gamma.data(), {0, 2, 3, 20}, kLayerNormEps, test_stream());
  CHECK(y.host() == values.x);
}

}  // namespace
}  // namespace flowsmith::core::testing
