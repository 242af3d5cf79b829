// The fused host block against its unfused composition in double: every instruction set, both editions, odd sizes; then
// what must not change a bit.
#include "kernels/gated_block.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/simd_targets.h"

namespace flowsmith::testing {
namespace {

struct BlockData {
  GatedBlockShape shape;
  std::vector<float> x, weight3, bias3, weight1, bias1, gamma, beta, dy;

  explicit BlockData(GatedBlockShape s)
      : shape(s),
        x(random_normal<float>(s.map().size(), 1)),
        weight3(random_normal<float>(s.conv3().weight_size(), 2, 1 / std::sqrt(9.0 * s.conv3().c_in))),
        bias3(random_normal<float>(s.c, 3)),
        weight1(random_normal<float>(s.conv1().weight_size(), 4, 1 / std::sqrt(2.0 * s.c))),
        bias1(random_normal<float>(2 * s.c, 5)),
        gamma(random_normal<float>(s.c, 6)),
        beta(random_normal<float>(s.c, 7)),
        dy(random_normal<float>(s.map().size(), 8)) {}

  /// y, h, vg, dx and the six gradients of the weights, which start from 1.
  template <class Backend>
  Outputs run(Backend backend, GradMode mode) const {
    using T = Real<Backend>;
    const std::vector<T> in = as<T>(x), w3 = as<T>(weight3), b3 = as<T>(bias3), w1 = as<T>(weight1), b1 = as<T>(bias1),
                         g = as<T>(gamma), b = as<T>(beta), out = as<T>(dy);
    const GatedBlockWeights<T> weights{w3.data(), b3.data(), w1.data(), b1.data(), g.data(), b.data()};
    std::vector<T> y(in.size()), h(in.size()), vg(2 * in.size()), dx(in.size(), 1), d3(w3.size(), 1), e3(b3.size(), 1),
        d1(w1.size(), 1), e1(b1.size(), 1), dg(g.size(), 1), db(b.size(), 1);
    gated_block_forward(y.data(), GatedBlockSaved<T>{h.data(), vg.data()}, in.data(), weights, shape, backend);
    const GatedBlockGrads<T> grads{{d3.data(), mode}, {e3.data(), mode}, {d1.data(), mode},
                                   {e1.data(), mode}, {dg.data(), mode}, {db.data(), mode}};
    gated_block_backward(Grad<T>{dx.data(), mode}, grads, out.data(), GatedBlockSaved<const T>{h.data(), vg.data()},
                         in.data(), weights, shape, backend);
    return outputs(y, h, vg, dx, d3, e3, d1, e1, dg, db);
  }
};

constexpr GatedBlockShape kShapes[] = {
    {3, 3, 5, 3, true},    {1, 31, 9, 4, false}, {3, 7, 7, 16, true},   {1, 28, 28, 32, true}, {1, 5, 31, 20, true},
    {2, 14, 14, 48, true}, {3, 7, 7, 64, true},  {17, 3, 7, 32, false}, {1, 1, 1, 16, true},   {1, 9, 1, 48, false},
};

/// Layer norm divides by the standard deviation of a pixel's channels and its gradient subtracts two means. Over 16
/// channels and more that leaves the float sums' own error (see test_cpu_conv.cpp); three or four channels may nearly
/// agree, and lose one or two digits then.
double bound(const GatedBlockShape& shape) { return shape.c < 16 ? 1e-4 : 5e-6; }

TEST_CASE("The Cpu gated block agrees with the plain one on every instruction set and number of threads") {
  for_each_simd_target([] {
    for (const GatedBlockShape& shape : kShapes) {
      CAPTURE(shape.n, shape.h, shape.w, shape.c, shape.concat_elu_input);
      const BlockData data(shape);
      const GradMode mode = shape.h % 2 == 0 ? GradMode::kOverwrite : GradMode::kAccumulate;
      check_cpu([&](auto backend) { return data.run(backend, mode); }, bound(shape));
    }
  });
}

TEST_CASE("Cpu gated block gradients overwrite or accumulate") {
  for (const GatedBlockShape& shape : kShapes) {
    CAPTURE(shape.n, shape.h, shape.w, shape.c, shape.concat_elu_input);
    const BlockData data(shape);
    Outputs written = data.run(Cpu{}, GradMode::kOverwrite);
    const Outputs added = data.run(Cpu{}, GradMode::kAccumulate);
    for (std::size_t i = 3; i < written.size(); ++i) {
      for (double& value : written[i]) value += 1;
      CHECK(relative_error(added[i], written[i]) < 1e-6);  // one float rounding of each element
    }
  }
}

TEST_CASE("One channel: the Cpu layer norm makes y = beta and lets no gradient through") {
  const BlockData data({2, 3, 3, 1, true});
  const Outputs got = data.run(Cpu{}, GradMode::kOverwrite);
  for (double y : got[0]) CHECK(y == data.beta[0]);
  // What is left is a rounding of dy * gamma, times 1 / sqrt(eps) = 316.
  for (double dx : got[3]) CHECK(std::abs(dx) < 1e-3);
}

TEST_CASE("The Cpu gated block needs neither saved maps nor gradients that nobody asked for") {
  const BlockData data({3, 5, 7, 20, true});
  const Outputs want = data.run(Cpu{}, GradMode::kOverwrite);
  const GatedBlockWeights<float> weights{data.weight3.data(), data.bias3.data(), data.weight1.data(),
                                         data.bias1.data(),   data.gamma.data(), data.beta.data()};
  std::vector<float> y(data.x.size()), h(data.x.size()), vg(2 * data.x.size());
  gated_block_forward(y.data(), {nullptr, nullptr}, data.x.data(), weights, data.shape, Cpu{});
  CHECK(outputs(y)[0] == want[0]);
  gated_block_forward(y.data(), {h.data(), vg.data()}, data.x.data(), weights, data.shape, Cpu{});

  // Each gradient alone, then none.
  for (std::size_t which = 3; which <= want.size(); ++which) {
    CAPTURE(which);
    std::vector<std::vector<float>> gradients;
    std::vector<Grad<float>> to(7);
    for (std::size_t i = 3; i < want.size(); ++i) gradients.emplace_back(want[i].size());
    if (which < want.size()) to[which - 3].data = gradients[which - 3].data();
    gated_block_backward(to[0], {to[1], to[2], to[3], to[4], to[5], to[6]}, data.dy.data(), {h.data(), vg.data()},
                         data.x.data(), weights, data.shape, Cpu{});
    if (which < want.size()) CHECK(outputs(gradients[which - 3])[0] == want[which]);
  }
}

TEST_CASE("An image has the same bits alone and in a batch of the Cpu gated block") {
  for (GatedBlockShape shape : {GatedBlockShape{3, 7, 7, 64, true}, {3, 5, 9, 20, false}}) {
    const BlockData data(shape);
    const Outputs batch = data.run(Cpu{}, GradMode::kOverwrite);
    shape.n = 1;
    BlockData alone(shape);
    const std::size_t size = alone.x.size();
    for (int n = 0; n < 3; ++n) {
      std::copy_n(data.x.begin() + n * size, size, alone.x.begin());
      std::copy_n(data.dy.begin() + n * size, size, alone.dy.begin());
      const Outputs one = alone.run(Cpu{}, GradMode::kOverwrite);
      for (int i = 0; i < 4; ++i) {
        const auto from = batch[i].begin() + n * one[i].size();
        CHECK(same_bits(one[i], std::vector<double>(from, from + one[i].size())));
      }
    }
  }
}

TEST_CASE("NaN in one image reaches the Cpu gated block's results of that image and all sums that x takes part in") {
  for_each_simd_target([] {
    BlockData data({3, 5, 7, 20, true});
    const std::size_t size = data.shape.map().image_size();
    data.x[size + 17 * 20 + 3] = std::numeric_limits<float>::quiet_NaN();
    const Outputs got = data.run(Cpu{}, GradMode::kOverwrite);
    for (int i : {0, 1, 3}) {
      int inside = 0, outside = 0;
      for (std::size_t k = 0; k < got[i].size(); ++k) (k / size == 1 ? inside : outside) += std::isnan(got[i][k]);
      CHECK(inside >= 9 * 20);  // the 3x3 window around the pixel, in all channels
      CHECK(outside == 0);
    }
    // All but dbeta, the sum of dy alone.
    for (int i = 4; i < 9; ++i) CHECK(std::any_of(got[i].begin(), got[i].end(), [](double v) { return v != v; }));
  });
}

}  // namespace
}  // namespace flowsmith::testing
