// Weight normalisation.
#include "kernels/weight_norm.h"
#include "tests/support/host_values.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

TEST_CASE("weight norm gives each output channel the length g") {
  const std::vector<double> v{3, 1, 4, 0, 0, 0}, g{10, -2};
  std::vector<double> w(6);
  weight_norm_forward(w.data(), v.data(), g.data(), {3, 2}, Reference{});
  const double want[] = {6, -2, 8, 0, 0, 0};
  for (int i = 0; i < 6; ++i) CHECK(w[i] == Approx(want[i]).epsilon(1e-12));  // eps^2 = 1e-12 beside 1 and 25
}

TEST_CASE("weight norm gradients") {
  for (const WeightNormShape shape : {WeightNormShape{1, 1}, {3, 31}, {31, 3}, {257, 1}}) {
    const auto dw = random_normal<double>(shape.size(), 1);
    check_gradients(
        {random_normal<double>(shape.size(), 2), random_normal<double>(shape.out, 3)},
        [&](const Inputs& in) {
          std::vector<double> w(dw.size());
          weight_norm_forward(w.data(), in[0].data(), in[1].data(), shape, Reference{});
          return dot(w, dw);
        },
        [&](const Inputs& in, const Gradients& gradients) {
          weight_norm_backward(gradients[0], gradients[1], dw.data(), in[0].data(), in[1].data(), shape, Reference{});
        });
  }
}

TEST_CASE("the gradient of a normalised weight is orthogonal to it") {
  const WeightNormShape shape{31, 1};
  const auto v = random_normal<double>(31, 1), dw = random_normal<double>(31, 2);
  const double g = 3;
  std::vector<double> dv(31);
  weight_norm_backward(Grad<double>{dv.data()}, {}, dw.data(), v.data(), &g, shape, Reference{});
  CHECK(std::abs(dot(v, dv)) < 1e-11);  // but for eps^2 beside |v|^2 = 31, and roundings
}

TEST_CASE("cpu weight norm agrees with the reference") {
  for (const WeightNormShape shape : {WeightNormShape{1, 1}, {31, 3}, {3, 31}, {9 * 31, 257}}) {
    const auto v = random_normal<float>(shape.size(), 1), g = random_normal<float>(shape.out, 2);
    auto dw = random_normal<float>(shape.size(), 3);
    for (float& value : dw) value += 1;
    for (const GradMode mode : kGradModes) {
      const auto run = [&](auto backend) {
        std::vector<float> w(v.size()), dv(v.size(), 1), dg(g.size(), 1), dv_alone(dv), dg_alone(dg);
        weight_norm_forward(w.data(), v.data(), g.data(), shape, backend);
        const auto backward = [&](Grad<float> of_v, Grad<float> of_g) {
          weight_norm_backward(of_v, of_g, dw.data(), v.data(), g.data(), shape, backend);
        };
        backward({dv.data(), mode}, {dg.data(), mode});
        backward({dv_alone.data(), mode}, {});
        backward({}, {dg_alone.data(), mode});
        CHECK(same_bits(dv, dv_alone));
        CHECK(same_bits(dg, dg_alone));
        return outputs(w, dv, dg);
      };
      check_cpu(run, 1e-7);  // all in double and rounded once
    }
  }
}

TEST_CASE("weight norm and its gradients are finite at 0 and at the ends of the range") {
  for (const float size : {0.0f, 1e-20f, 1e4f, -1e4f}) {
    const WeightNormShape shape{9, 1};
    const std::vector<float> v(9, size), dw(9, 1e4f), g{1e4f};
    const auto run = [&](auto backend) {
      std::vector<float> w(9), dv(9), dg(1);
      weight_norm_forward(w.data(), v.data(), g.data(), shape, backend);
      weight_norm_backward(Grad<float>{dv.data()}, Grad<float>{dg.data()}, dw.data(), v.data(), g.data(), shape,
                           backend);
      for (const auto& values : {w, dv, dg}) {
        for (const float value : values) CHECK(std::isfinite(value));
      }
      if (size == 0) CHECK(w == std::vector<float>(9));
    };
    run(Reference{});
    run(Cpu{});
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
