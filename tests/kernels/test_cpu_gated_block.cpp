// The fused host block against its unfused composition in double: every instruction set, both editions, odd sizes; then
// what must not change a bit.
#include "tests/support/block_data.h"
#include "tests/support/simd_targets.h"

namespace flowsmith::core::testing {
namespace {

constexpr GatedBlockShape kShapes[] = {
    {3, 3, 5, 3, true},
    {1, 31, 9, 4, false},
    {3, 7, 7, 16, true},
    {1, 28, 28, 32, true},
    {1, 5, 31, 20, true},
    {2, 14, 14, 48, true},
    {3, 7, 7, 64, true},
    {17, 3, 7, 32, false},
    {1, 1, 1, 16, true},
    {3, 3, 7, 16, true, 0.1},
    {1, 3, 5, 5, false, 0.1},
    {1, 9, 1, 48, false},
    // Whole tiles of 2 x 2 pixels and whole vectors: Winograd's algorithm, with one tile, tiles that fill no group of
    // pixels, several chunks, and a rest of vectors.
    {1, 2, 2, 16, true},
    {3, 4, 6, 32, false},
    {1, 28, 28, 16, true},
    {1, 10, 34, 80, true},
    {9, 2, 58, 16, false},
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
  for (GatedBlockShape shape : {GatedBlockShape{3, 7, 7, 64, true}, {3, 5, 9, 20, false}, {3, 6, 10, 32, true}}) {
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
  for_each_simd_target(
      [] { check_spread_of_nan([](const BlockData& data) { return data.run(Cpu{}, GradMode::kOverwrite); }); });
}

}  // namespace
}  // namespace flowsmith::core::testing
