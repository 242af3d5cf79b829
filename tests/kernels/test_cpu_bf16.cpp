// The host's networks with products of bf16, by the model of AMX, against the plain ones in double: odd sizes, both
// editions, every instruction set for what is around the products; then what must not change a bit.
#include "kernels/cpu/bf16/kernels.h"
#include "tests/support/block_data.h"
#include "tests/support/conv_data.h"
#include "tests/support/simd_targets.h"

namespace flowsmith::core::testing {
namespace {

constexpr Cpu kModel{NetPrecision::kBf16, true};

/// Rounding moves a factor by at most 2^-9 of itself, so a product by 2^-8; where signs are random a sum is off by that
/// share of its own size at most, in the mean over many. The roundings of float sums are far below it.
constexpr double kProduct = 0x1p-8;

constexpr ConvShape kConvs[] = {
    {1, 1, 1, 16, 1, 3, false},  {3, 7, 7, 20, 3, 3, false},  {1, 9, 7, 40, 2, 3, true},    {3, 1, 9, 32, 16, 3, true},
    {1, 28, 28, 32, 2, 3, true}, {3, 7, 9, 40, 20, 1, true},  {1, 7, 28, 64, 48, 3, false}, {1, 9, 9, 96, 8, 3, true},
    {3, 7, 7, 128, 16, 3, true}, {20, 3, 1, 18, 33, 3, true}, {1, 1, 28, 48, 64, 1, false},
};

constexpr GatedBlockShape kBlocks[] = {
    {3, 7, 9, 3, true},    {1, 9, 7, 16, false},  {3, 7, 7, 16, true},      {1, 1, 28, 20, true},
    {3, 9, 1, 20, false},  {1, 28, 28, 32, true}, {3, 7, 7, 48, true},      {1, 9, 9, 64, true},
    {17, 3, 7, 32, false}, {1, 1, 1, 16, true},   {1, 3, 5, 16, true, 0.1},
};

/// The products are the same loops for every instruction set, and slow: shapes with many run on the best set only.
bool left_out(double flops) { return flops > 5e6 && cpu::chosen_simd_target() != cpu::simd_targets().front(); }

TEST_CASE("bf16 convolutions agree with the plain ones on every instruction set and number of threads") {
  for_each_simd_target([] {
    for (const ConvShape& shape : kConvs) {
      if (left_out(shape.flops())) continue;
      CAPTURE(shape.n, shape.h, shape.w, shape.c_in, shape.c_out, shape.kernel, shape.concat_elu);
      const ConvData data(shape);
      const GradMode mode = shape.h % 2 == 0 ? GradMode::kOverwrite : GradMode::kAccumulate;
      check_cpu([&](auto backend) { return data.run(backend, mode); }, kProduct, kModel);
    }
  });
}

TEST_CASE("A convolution of few channels is float for bf16 networks too") {
  for (const ConvShape& shape : {ConvShape{1, 9, 9, 2, 32, 3, false}, {3, 7, 7, 8, 64, 3, false}}) {
    const ConvData data(shape);
    CHECK(data.run(kModel, GradMode::kOverwrite) == data.run(Cpu{}, GradMode::kOverwrite));
  }
}

/// Two products in a row forward, two backward from what they gave; but a rounding moves a factor by a third of the
/// most it can, in the mean. The layer norm and its gradient lose half a digit or more where a pixel's few channels
/// nearly agree.
double bound(const GatedBlockShape& shape) { return (shape.c < 16 ? 6 : 2) * kProduct; }

TEST_CASE("The bf16 gated block agrees with the plain one on every instruction set and number of threads") {
  for_each_simd_target([] {
    for (const GatedBlockShape& shape : kBlocks) {
      if (left_out(shape.conv3().flops())) continue;
      CAPTURE(shape.n, shape.h, shape.w, shape.c, shape.concat_elu_input);
      const BlockData data(shape);
      const GradMode mode = shape.h % 2 == 0 ? GradMode::kOverwrite : GradMode::kAccumulate;
      check_cpu([&](auto backend) { return data.run(backend, mode); }, bound(shape), kModel);
    }
  });
}

TEST_CASE("bf16 gradients overwrite or accumulate") {
  const auto check = [](const auto& data, std::size_t first_gradient) {
    Outputs written = data.run(kModel, GradMode::kOverwrite);
    const Outputs added = data.run(kModel, GradMode::kAccumulate);
    for (std::size_t i = first_gradient; i < written.size(); ++i) {
      for (double& value : written[i]) value += 1;         // where the gradients start
      CHECK(relative_error(added[i], written[i]) < 1e-6);  // two float roundings of each element
    }
  };
  for (const ConvShape& shape : kConvs) check(ConvData(shape), 1);
  for (const GatedBlockShape& shape : kBlocks) check(BlockData(shape), 3);
}

TEST_CASE("One channel: the bf16 block's layer norm makes y = beta and lets no gradient through") {
  const BlockData data({2, 3, 3, 1, true});
  const Outputs got = data.run(kModel, GradMode::kOverwrite);
  for (double y : got[0]) CHECK(y == data.beta[0]);
  // What is left is a rounding of dy * gamma, times 1 / sqrt(eps) = 316.
  for (double dx : got[3]) CHECK(std::abs(dx) < 1e-3);
}

TEST_CASE("bf16 kernels need neither saved maps nor gradients that nobody asked for") {
  const BlockData data({3, 5, 7, 20, true});
  const Outputs want = data.run(kModel, GradMode::kOverwrite);
  const GatedBlockWeights<float> weights{data.weight3.data(), data.bias3.data(), data.weight1.data(),
                                         data.bias1.data(),   data.gamma.data(), data.beta.data()};
  std::vector<float> y(data.x.size()), h(data.x.size()), vg(2 * data.x.size());
  gated_block_forward(y.data(), {nullptr, nullptr}, data.x.data(), weights, data.shape, kModel);
  CHECK(outputs(y)[0] == want[0]);
  gated_block_forward(y.data(), {h.data(), vg.data()}, data.x.data(), weights, data.shape, kModel);
  for (std::size_t which = 3; which <= want.size(); ++which) {  // each gradient alone, then none
    CAPTURE(which);
    std::vector<std::vector<float>> gradients;
    std::vector<Grad<float>> to(7);
    for (std::size_t i = 3; i < want.size(); ++i) gradients.emplace_back(want[i].size());
    if (which < want.size()) to[which - 3].data = gradients[which - 3].data();
    gated_block_backward(to[0], {to[1], to[2], to[3], to[4], to[5], to[6]}, data.dy.data(), {h.data(), vg.data()},
                         data.x.data(), weights, data.shape, kModel);
    if (which < want.size()) CHECK(outputs(gradients[which - 3])[0] == want[which]);
  }

  const ConvData conv({3, 5, 7, 32, 20, 3, true});
  const Outputs all = conv.run(kModel, GradMode::kOverwrite);
  std::vector<float> dweight(conv.weight.size()), dbias(conv.bias.size());
  const auto backward = [&](Grad<float> weight, Grad<float> bias) {
    conv_backward_weights(weight, bias, conv.dy.data(), conv.x.data(), conv.shape, kModel);
  };
  backward({dweight.data()}, {});
  backward({}, {dbias.data()});
  backward({}, {});
  conv_backward_data({}, conv.dy.data(), conv.x.data(), conv.weight.data(), conv.shape, kModel);
  CHECK(outputs(dweight, dbias) == Outputs{all[2], all[3]});
}

TEST_CASE("An image has the same bits alone and in a batch of the bf16 gated block") {
  for (GatedBlockShape shape : {GatedBlockShape{3, 7, 7, 64, true}, {3, 5, 9, 20, false}}) {
    const BlockData data(shape);
    const Outputs batch = data.run(kModel, GradMode::kOverwrite);
    shape.n = 1;
    BlockData alone(shape);
    const std::size_t size = alone.x.size();
    for (int n = 0; n < 3; ++n) {
      std::copy_n(data.x.begin() + n * size, size, alone.x.begin());
      std::copy_n(data.dy.begin() + n * size, size, alone.dy.begin());
      const Outputs one = alone.run(kModel, GradMode::kOverwrite);
      for (int i = 0; i < 4; ++i) {
        const auto from = batch[i].begin() + n * one[i].size();
        CHECK(same_bits(one[i], std::vector<double>(from, from + one[i].size())));
      }
    }
  }
}

TEST_CASE("NaN in one image reaches the bf16 block's results of that image and all sums that x takes part in") {
  for_each_simd_target(
      [] { check_spread_of_nan([](const BlockData& data) { return data.run(kModel, GradMode::kOverwrite); }); });
}

TEST_CASE("The instructions of this machine agree with the plain kernels") {
  if (cpu::bf16::hardware_tiles() == nullptr) {
    return void(std::puts("skipped: this machine has neither AMX nor AVX512-BF16"));
  }
  constexpr Cpu kHardware{NetPrecision::kBf16};
  for (const ConvShape& shape : kConvs) {
    const ConvData data(shape);
    check_cpu([&](auto backend) { return data.run(backend, GradMode::kAccumulate); }, kProduct, kHardware);
  }
  for (const GatedBlockShape& shape : kBlocks) {
    const BlockData data(shape);
    check_cpu([&](auto backend) { return data.run(backend, GradMode::kOverwrite); }, bound(shape), kHardware);
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
