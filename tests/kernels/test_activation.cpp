// Activations, ELU-concat and the gate, of the plain backend.
#include "kernels/activation.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

constexpr MapShape kShapes[] = {{1, 1, 1, 1}, {3, 1, 31, 3}, {1, 3, 1, 257}};

constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kElu, Activation::kTanh,
                                       Activation::kLeakyRelu};

TEST_CASE("activations on both sides of 0, and far from it") {
  const std::vector<double> x{-1, 0, 0.5, -1e4, 1e4};
  const double elu = -0.6321205588285577, tanh1 = -0.7615941559557649, tanh_half = 0.46211715726000973;
  const std::vector<double> want[] = {
      x, {0, 0, 0.5, 0, 1e4}, {elu, 0, 0.5, -1, 1e4}, {tanh1, 0, tanh_half, -1, 1}, {-0.01, 0, 0.5, -100, 1e4}};
  for (const Activation activation : kActivations) {
    std::vector<double> y(x.size()), dx(x.size()), ones(x.size(), 1);
    activation_forward(y.data(), x.data(), activation, x.size(), Reference{});
    activation_backward(Grad<double>{dx.data()}, ones.data(), y.data(), activation, x.size(), Reference{});
    for (std::size_t i = 0; i < x.size(); ++i) {
      CHECK(y[i] == Approx(want[int(activation)][i]).epsilon(1e-15));
      CHECK(std::isfinite(dx[i]));
    }
  }
}

TEST_CASE("activation gradients") {
  for (const Activation activation : kActivations) {
    for (const std::size_t size : {1, 3, 31, 257}) {
      const auto dy = random_normal<double>(size, 1);
      check_gradients(
          {random_off_kink(size, 2)},
          [&](const Inputs& in) {
            std::vector<double> y(size);
            activation_forward(y.data(), in[0].data(), activation, size, Reference{});
            return dot(y, dy);
          },
          [&](const Inputs& in, const Gradients& gradients) {
            std::vector<double> y(size);
            activation_forward(y.data(), in[0].data(), activation, size, Reference{});
            activation_backward(gradients[0], dy.data(), y.data(), activation, size, Reference{});
          });
    }
  }
}

TEST_CASE("concat_elu puts elu(x) before elu(-x)") {
  const std::vector<double> x{-1, 0.5};
  std::vector<double> y(4);
  concat_elu_forward(y.data(), x.data(), {1, 1, 1, 2}, Reference{});
  const double at_minus_one = -0.6321205588285577, at_minus_half = -0.3934693402873666;
  CHECK(y[0] == Approx(at_minus_one).epsilon(1e-15));
  CHECK(y[1] == 0.5);
  CHECK(y[2] == 1);
  CHECK(y[3] == Approx(at_minus_half).epsilon(1e-15));
}

TEST_CASE("concat_elu and the gate keep their limits far from 0") {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> x{-inf, inf, -200};
  std::vector<float> y(6);
  concat_elu_forward(y.data(), x.data(), {1, 1, 1, 3}, Reference{});
  CHECK(y == std::vector<float>{-1, inf, -1, inf, -1, 200});
  const std::vector<float> vg{3, 3, -1e30f, 1e30f}, zero{0, 0};
  std::vector<float> out(2), dvg(4);
  gate_forward(out.data(), zero.data(), vg.data(), {1, 1, 1, 2}, Reference{});
  CHECK(out == std::vector<float>{0, 3});
  gate_backward({}, Grad<float>{dvg.data()}, x.data() + 2, vg.data(), {1, 1, 1, 1}, Reference{});
  for (int i : {0, 1}) CHECK(std::isfinite(dvg[i]));
}

TEST_CASE("the gate adds value * sigmoid(gate)") {
  const std::vector<double> x{1, 2}, vg{10, 20, 0, 0.75};
  std::vector<double> y(2);
  gate_forward(y.data(), x.data(), vg.data(), {1, 1, 1, 2}, Reference{});
  CHECK(y[0] == 6);
  CHECK(y[1] == Approx(2 + 20 * 0.679178699175393).epsilon(1e-15));
}

TEST_CASE("concat_elu gradients") {
  for (MapShape shape : kShapes) {
    const auto dy = random_normal<double>(2 * shape.size(), 1);
    check_gradients(
        {random_off_kink(shape.size(), 2)},
        [&](const Inputs& in) {
          std::vector<double> y(dy.size());
          concat_elu_forward(y.data(), in[0].data(), shape, Reference{});
          return dot(y, dy);
        },
        [&](const Inputs& in, const Gradients& gradients) {
          concat_elu_backward(gradients[0], dy.data(), in[0].data(), shape, Reference{});
        });
  }
}

TEST_CASE("gate gradients") {
  for (MapShape shape : kShapes) {
    const auto dy = random_normal<double>(shape.size(), 1);
    check_gradients(
        {random_normal<double>(shape.size(), 2), random_normal<double>(2 * shape.size(), 3)},
        [&](const Inputs& in) {
          std::vector<double> y(shape.size());
          gate_forward(y.data(), in[0].data(), in[1].data(), shape, Reference{});
          return dot(y, dy);
        },
        [&](const Inputs& in, const Gradients& gradients) {
          gate_backward(gradients[0], gradients[1], dy.data(), in[1].data(), shape, Reference{});
        });
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
