// Activations, ELU-concat, gate and layer norm of the host against the plain ones in double, and their behaviour at the
// ends of the number line.
#include "kernels/activation.h"
#include "kernels/layer_norm.h"
#include "tests/support/host_values.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/simd_targets.h"

namespace flowsmith::core::testing {
namespace {

constexpr MapShape kShapes[] = {{1, 1, 1, 2},  {3, 3, 5, 3},   {1, 31, 31, 16}, {2, 7, 9, 20},
                                {3, 7, 7, 64}, {17, 2, 3, 48}, {1, 3, 3, 8}};

TEST_CASE("Cpu activations agree with the plain ones on every instruction set and number of threads") {
  for_each_simd_target([] {
    for (const MapShape& shape : kShapes) {
      for (GradMode mode : kGradModes) {
        CAPTURE(shape.n, shape.h, shape.w, shape.c, int(mode));
        const auto x = random_normal<float>(shape.size(), 1), dy = random_normal<float>(shape.size(), 2);
        const auto wide = random_normal<float>(2 * shape.size(), 3);
        // A few roundings of 6e-8 per element, and no long sums.
        check_cpu(
            [&](auto backend) {
              using T = Real<float, decltype(backend)>;
              const auto in = as<T>(x), out = as<T>(dy), two = as<T>(wide);
              std::vector<T> elu(two.size()), gated(in.size()), dx(in.size(), 1), dgate(in.size(), 1),
                  dvg(two.size(), 1);
              concat_elu_forward(elu.data(), in.data(), shape, backend);
              concat_elu_backward(Grad<T>{dx.data(), mode}, two.data(), in.data(), shape, backend);
              gate_forward(gated.data(), in.data(), two.data(), shape, backend);
              gate_backward(Grad<T>{dgate.data(), mode}, Grad<T>{dvg.data(), mode}, out.data(), two.data(), shape,
                            backend);
              return outputs(elu, dx, gated, dgate, dvg);
            },
            5e-7);
      }
    }
  });
}

constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kElu, Activation::kTanh,
                                       Activation::kLeakyRelu};

TEST_CASE("the plain activations of the Cpu agree with the reference, in place too") {
  for_each_simd_target([] {
    for (const std::size_t size : {1, 3, 31, 257, 40000}) {
      const auto x = random_normal<float>(size, 1, 2), dy = random_normal<float>(size, 2);
      for (const Activation activation : kActivations) {
        // Backward from one y for all: the rounding of a y near 1 is all that tanh' = 1 - y^2 sees there.
        std::vector<float> given(size);
        activation_forward(given.data(), x.data(), activation, size, Reference{});
        for (const GradMode mode : kGradModes) {
          CAPTURE(size, int(activation), int(mode));
          // A few roundings of 6e-8 per element.
          check_cpu(
              [&](auto backend) {
                using T = Real<float, decltype(backend)>;
                const auto in = as<T>(x), out = as<T>(dy);
                std::vector<T> y(size), dx(size, 1), same(in);
                activation_forward(y.data(), in.data(), activation, size, backend);
                activation_forward(same.data(), same.data(), activation, size, backend);
                CHECK(same_bits(y, same));
                activation_backward(Grad<T>{dx.data(), mode}, out.data(), as<T>(given).data(), activation, size,
                                    backend);
                activation_backward(Grad<T>{}, out.data(), y.data(), activation, size, backend);
                return outputs(y, dx);
              },
              5e-7);
        }
      }
    }
  });
}

TEST_CASE("the plain activations of the Cpu at the ends of the number line") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> x{inf, -inf, nan, 0, 1e4f, -1e4f, -1e-6f};
  for_each_simd_target([&] {
    for (const Activation activation : kActivations) {
      std::vector<float> y(x.size()), want(x.size());
      activation_forward(y.data(), x.data(), activation, x.size(), Cpu{});
      activation_forward(want.data(), x.data(), activation, x.size(), Reference{});
      for (std::size_t i = 0; i < x.size(); ++i) {
        CAPTURE(int(activation), i);
        if (i == 2) {
          CHECK(std::isnan(y[i]));
        } else if (std::isinf(want[i])) {
          CHECK(y[i] == want[i]);
        } else {
          CHECK(y[i] == Approx(want[i]).epsilon(5e-7));
        }
      }
    }
  });
}

TEST_CASE("The Cpu layer norm agrees with the plain one on every instruction set and number of threads") {
  for_each_simd_target([] {
    for (const MapShape& shape : kShapes) {
      for (GradMode mode : kGradModes) {
        CAPTURE(shape.n, shape.h, shape.w, shape.c, int(mode));
        const auto gamma = random_normal<float>(shape.c, 3), beta = random_normal<float>(shape.c, 4);
        auto x = random_normal<float>(shape.size(), 1), dy = random_normal<float>(shape.size(), 2);
        for (float& value : x) value += 3;   // a mean of several standard deviations
        for (float& value : dy) value += 1;  // and sums over the batch that do not cancel
        // As in test_cpu_gated_block.cpp: few channels may nearly agree, and lose digits.
        check_cpu(
            [&](auto backend) {
              using T = Real<float, decltype(backend)>;
              const auto in = as<T>(x), out = as<T>(dy), g = as<T>(gamma), b = as<T>(beta);
              std::vector<T> y(in.size()), dx(in.size(), 1), dgamma(g.size(), 1), dbeta(g.size(), 1);
              layer_norm_forward(y.data(), in.data(), g.data(), b.data(), shape, shape.c % 2 == 0 ? 0.1 : kLayerNormEps,
                                 backend);
              layer_norm_backward(Grad<T>{dx.data(), mode}, Grad<T>{dgamma.data(), mode}, Grad<T>{dbeta.data(), mode},
                                  out.data(), in.data(), g.data(), shape, shape.c % 2 == 0 ? 0.1 : kLayerNormEps,
                                  backend);
              return outputs(y, dx, dgamma, dbeta);
            },
            shape.c < 16 ? 1e-3 : 2e-6);
      }
    }
  });
}

TEST_CASE("Null gradients of the Cpu pointwise ops change nothing else") {
  const MapShape shape{3, 2, 3, 20};
  const auto x = random_normal<float>(shape.size(), 1), dy = random_normal<float>(shape.size(), 2);
  const auto vg = random_normal<float>(2 * shape.size(), 3), gamma = random_normal<float>(shape.c, 4);
  std::vector<float> dx(x.size()), dvg(vg.size()), dgamma(20), dbeta(20), dx1(dx), dvg1(dvg), dgamma1(20), dbeta1(20);
  gate_backward({dx.data()}, {dvg.data()}, dy.data(), vg.data(), shape, Cpu{});
  gate_backward({dx1.data()}, {}, dy.data(), vg.data(), shape, Cpu{});
  gate_backward({}, {dvg1.data()}, dy.data(), vg.data(), shape, Cpu{});
  CHECK(same_bits(dx, dx1));
  CHECK(same_bits(dvg, dvg1));
  const auto norm = [&](Grad<float> a, Grad<float> b, Grad<float> c) {
    layer_norm_backward(a, b, c, dy.data(), x.data(), gamma.data(), shape, kLayerNormEps, Cpu{});
  };
  norm({dx.data()}, {dgamma.data()}, {dbeta.data()});
  norm({dx1.data()}, {}, {});
  norm({}, {dgamma1.data()}, {});
  norm({}, {}, {dbeta1.data()});
  CHECK(same_bits(dx, dx1));
  CHECK(same_bits(dgamma, dgamma1));
  CHECK(same_bits(dbeta, dbeta1));
  concat_elu_backward({}, vg.data(), x.data(), shape, Cpu{});
}

TEST_CASE("The Cpu ELU keeps the digits of small arguments and the ends of the number line") {
  for_each_simd_target([] {
    for (double magnitude = 1e-30; magnitude < 1e5; magnitude *= 1.7) {
      const float x[] = {float(-magnitude), float(magnitude)};
      float y[4];
      concat_elu_forward(y, x, {2, 1, 1, 1}, Cpu{});
      // Two or three roundings.
      CHECK(std::abs(y[0] / std::expm1(double(x[0])) - 1) < 3e-7);
      CHECK(y[1] == x[1]);
      CHECK(y[2] == x[1]);
      CHECK(std::abs(y[3] / std::expm1(double(x[0])) - 1) < 3e-7);
    }
    const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    const float x[] = {infinity, -infinity, nan, 0};
    float y[8];
    concat_elu_forward(y, x, {1, 1, 1, 4}, Cpu{});
    CHECK(y[0] == infinity);
    CHECK(y[1] == -1);
    CHECK(y[3] == 0);
    CHECK(y[4] == -1);
    CHECK(y[5] == infinity);
    CHECK(y[7] == 0);
    CHECK(std::isnan(y[2]));
    CHECK(std::isnan(y[6]));
  });
}

TEST_CASE("The Cpu gate is accurate where it saturates and keeps NaN") {
  for_each_simd_target([] {
    for (float gate : {-1e4f, -80.0f, -20.0f, -1.0f, -1e-6f, 0.0f, 1e-6f, 1.0f, 20.0f, 80.0f, 1e4f}) {
      CAPTURE(gate);
      const float x = 0, vg[] = {1, gate}, dy = 1;
      float y, dvg[2];
      gate_forward(&y, &x, vg, {1, 1, 1, 1}, Cpu{});
      gate_backward({}, {dvg}, &dy, vg, {1, 1, 1, 1}, Cpu{});
      const double g = 1 / (1 + std::exp(-double(gate))), rest = 1 / (1 + std::exp(double(gate)));
      // Relative to the value itself, down to where the exponential is cut off at e^-87 = 1.6e-38.
      CHECK(std::abs(y - g) <= 5e-7 * g + 2e-38);
      CHECK(std::abs(dvg[0] - g) <= 5e-7 * g + 2e-38);
      CHECK(std::abs(dvg[1] - g * rest) <= 1e-6 * g * rest + 2e-38);
    }
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (int where = 0; where < 3; ++where) {
      CAPTURE(where);
      float in[] = {1, 1, 1}, y, dvg[2];  // x, value, gate
      in[where] = nan;
      gate_forward(&y, in, in + 1, {1, 1, 1, 1}, Cpu{});
      CHECK(std::isnan(y));
      gate_backward({}, {dvg}, in, in + 1, {1, 1, 1, 1}, Cpu{});  // in[0] as dy
      CHECK(std::isnan(dvg[1]));
    }
    const float x[] = {1, 2, nan, 4}, one[] = {1, 1, 1, 1};
    float y[4], dx[4];
    layer_norm_forward(y, x, one, one, {1, 1, 1, 4}, kLayerNormEps, Cpu{});
    layer_norm_backward({dx}, {}, {}, one, x, one, {1, 1, 1, 4}, kLayerNormEps, Cpu{});
    for (int i = 0; i < 4; ++i) {
      CHECK(std::isnan(y[i]));
      CHECK(std::isnan(dx[i]));
    }
  });
}

}  // namespace
}  // namespace flowsmith::core::testing
