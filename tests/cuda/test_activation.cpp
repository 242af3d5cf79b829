// Activations, ELU-concat and the gate on the GPU against the reference in double, and at the ends of the number line.
#include "kernels/activation.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

constexpr MapShape kShapes[] = {{1, 1, 1, 1},  {3, 3, 5, 3},  {1, 28, 28, 3}, {2, 7, 9, 20},
                                {3, 7, 7, 16}, {1, 2, 3, 48}, {1, 9, 1, 64},  {3, 1, 7, 32}};

TEST_CASE("gpu activations agree with the reference") {
  for (const MapShape& shape : kShapes) {
    for (GradMode mode : kGradModes) {
      CAPTURE(shape.n, shape.h, shape.w, shape.c, int(mode));
      const auto x = random_normal<float>(shape.size(), 1), dy = random_normal<float>(shape.size(), 2);
      const auto wide = random_normal<float>(2 * shape.size(), 3);
      // A few roundings of 6e-8 per element, and no long sums.
      check_gpu(
          [&](auto backend) {
            using T = Real<float, decltype(backend)>;
            const bool add = mode == GradMode::kAccumulate;
            const auto gradient = [&](const std::vector<float>& before) {
              return add ? put(backend, as<T>(before)) : blank<T>(backend, before.size());
            };
            auto in = put(backend, as<T>(x)), out = put(backend, as<T>(dy)), two = put(backend, as<T>(wide));
            auto elu = blank<T>(backend, 2 * shape.size()), gated = blank<T>(backend, shape.size());
            auto dx = gradient(x), dgate = gradient(x), dvg = gradient(wide);
            concat_elu_forward(elu.data(), in.data(), shape, backend);
            concat_elu_backward(dx.grad(mode), two.data(), in.data(), shape, backend);
            gate_forward(gated.data(), in.data(), two.data(), shape, backend);
            gate_backward(dgate.grad(mode), dvg.grad(mode), out.data(), two.data(), shape, backend);
            return outputs(elu.host(), dx.host(), gated.host(), dgate.host(), dvg.host());
          },
          5e-7);
    }
  }
}

constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kElu, Activation::kTanh,
                                       Activation::kLeakyRelu};

TEST_CASE("the plain gpu activations agree with the reference, in place too") {
  for (const std::size_t size : {1, 3, 31, 257, 2050}) {
    const auto x = random_normal<float>(size, 1, 2), dy = random_normal<float>(size, 2);
    for (const Activation activation : kActivations) {
      // Backward from one y for all: the rounding of a y near 1 is all that tanh' = 1 - y^2 sees there.
      std::vector<float> result(size);
      activation_forward(result.data(), x.data(), activation, size, Reference{});
      for (const GradMode mode : kGradModes) {
        CAPTURE(size, int(activation), int(mode));
        // A few roundings of 6e-8 per element.
        check_gpu(
            [&](auto backend) {
              using T = Real<float, decltype(backend)>;
              auto in = put(backend, as<T>(x)), out = put(backend, as<T>(dy)), same = put(backend, as<T>(x));
              auto y = blank<T>(backend, size), given = put(backend, as<T>(result));
              auto dx = mode == GradMode::kAccumulate ? put(backend, as<T>(x)) : blank<T>(backend, size);
              activation_forward(y.data(), in.data(), activation, size, backend);
              activation_forward(same.data(), same.data(), activation, size, backend);
              activation_backward(dx.grad(mode), out.data(), given.data(), activation, size, backend);
              activation_backward(Grad<T>{}, out.data(), y.data(), activation, size, backend);
              return outputs(y.host(), same.host(), dx.host());
            },
            5e-7);
      }
    }
  }
}

TEST_CASE("the plain gpu activations at the ends of the number line, and of nothing") {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> x{inf, -inf, NAN, 0, 1e4f, -1e4f, -1e-6f};
  const DeviceArray<float> in(x);
  for (const Activation activation : kActivations) {
    DeviceArray<float> y(x.size());
    std::vector<float> want(x.size());
    activation_forward(y.data(), in.data(), activation, x.size(), test_stream());
    activation_forward(y.data(), in.data(), activation, 0, test_stream());
    activation_forward(want.data(), x.data(), activation, x.size(), Reference{});
    const auto got = y.host();
    for (std::size_t i = 0; i < x.size(); ++i) {
      CAPTURE(int(activation), i);
      // The GPU's own functions are off by a few roundings.
      CHECK((std::isnan(want[i]) ? std::isnan(got[i]) : got[i] == want[i] || got[i] == Approx(want[i]).epsilon(3e-7)));
    }
  }
}

TEST_CASE("gpu activations take pointers of any alignment") {
  const MapShape shape{1, 3, 3, 8};
  const auto values = random_normal<float>(2 * shape.size() + 1, 1);
  const DeviceArray<float> in(values);
  DeviceArray<float> aligned(2 * shape.size()), shifted(std::vector<float>(2 * shape.size() + 1, 7));
  const DeviceArray<float> copy(std::vector<float>(values.begin() + 1, values.end()));
  concat_elu_forward(aligned.data(), copy.data(), shape, test_stream());
  concat_elu_forward(shifted.data() + 1, in.data() + 1, shape, test_stream());
  const auto want = aligned.host(), got = shifted.host();
  CHECK(std::equal(want.begin(), want.end(), got.begin() + 1));
  CHECK(got[0] == 7);
}

TEST_CASE("gpu gradients of activations that nobody asked for change nothing else") {
  const MapShape shape{3, 2, 3, 20};
  const DeviceArray<float> x(random_normal<float>(shape.size(), 1)), dy(random_normal<float>(shape.size(), 2));
  const DeviceArray<float> vg(random_normal<float>(2 * shape.size(), 3));
  DeviceArray<float> dx(shape.size()), dvg(2 * shape.size()), dx1(shape.size()), dvg1(2 * shape.size());
  gate_backward(dx.grad(), dvg.grad(), dy.data(), vg.data(), shape, test_stream());
  gate_backward(dx1.grad(), {}, dy.data(), vg.data(), shape, test_stream());
  gate_backward({}, dvg1.grad(), dy.data(), vg.data(), shape, test_stream());
  gate_backward({}, {}, dy.data(), vg.data(), shape, test_stream());
  concat_elu_backward({}, vg.data(), x.data(), shape, test_stream());
  CHECK(same_bits(dx.host(), dx1.host()));
  CHECK(same_bits(dvg.host(), dvg1.host()));
}

TEST_CASE("gpu activations at the ends of the number line, and of no image") {
  const float inf = std::numeric_limits<float>::infinity();
  const DeviceArray<float> x(std::vector<float>{inf, -inf, NAN, -1e-6f});
  DeviceArray<float> y(8);
  concat_elu_forward(y.data(), x.data(), {1, 1, 1, 4}, test_stream());
  const auto elu = y.host();
  CHECK(elu[0] == inf);
  CHECK(elu[1] == -1);
  CHECK(std::isnan(elu[2]));
  CHECK(elu[3] == Approx(std::expm1(-1e-6f)).epsilon(3e-7));
  CHECK(elu[4] == -1);
  CHECK(elu[5] == inf);
  CHECK(std::isnan(elu[6]));
  const DeviceArray<float> zeros(std::vector<float>(4)), vg(std::vector<float>{1, 1, 1, 1, 1e4f, -1e4f, 0, NAN});
  DeviceArray<float> gated(4);
  gate_forward(gated.data(), zeros.data(), vg.data(), {1, 1, 1, 4}, test_stream());
  const auto g = gated.host();
  CHECK(g[0] == 1);
  CHECK(g[1] == 0);
  CHECK(g[2] == 0.5f);
  CHECK(std::isnan(g[3]));
  concat_elu_forward(gated.data(), x.data(), {0, 1, 1, 4}, test_stream());
  concat_elu_backward(gated.grad(), y.data(), x.data(), {0, 1, 1, 4}, test_stream());
  gate_forward(gated.data(), x.data(), vg.data(), {0, 1, 1, 4}, test_stream());
  gate_backward(gated.grad(), y.grad(), x.data(), vg.data(), {0, 1, 1, 4}, test_stream());
  CHECK(gated.host()[2] == 0.5f);
}

}  // namespace
}  // namespace flowsmith::core::testing
