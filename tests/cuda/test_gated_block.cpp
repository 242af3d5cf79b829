// The fused GPU block against its unfused composition in double, in every precision: both editions, odd sizes; then
// what must not change a bit.
#include "tests/cuda/block_data.h"

namespace flowsmith::core::testing {
namespace {

constexpr NetPrecision kPrecisions[] = {NetPrecision::kFp32, NetPrecision::kTf32, NetPrecision::kBf16};

/// Every plan of columns, full and padded; the general path; images of less than a block of threads and of several.
constexpr GatedBlockShape kShapes[] = {
    {3, 3, 5, 3, true},       {1, 9, 7, 16, true},      {1, 28, 2, 20, true},     {3, 5, 7, 32, true},
    {1, 7, 9, 33, false},     {1, 5, 7, 48, true},      {2, 5, 5, 64, true},      {1, 2, 3, 64, false},
    {1, 1, 2, 70, true},      {1, 1, 1, 16, true},      {2, 1, 9, 7, false},      {1, 9, 9, 8, true},
    {1, 3, 5, 16, true, 0.1}, {1, 3, 5, 64, true, 0.1}, {1, 2, 3, 66, true, 0.1},
};

TEST_CASE("The GPU gated block agrees with the plain one in every precision and schedule") {
  for (const GatedBlockShape& shape : kShapes) {
    const GpuBlockData data(shape);
    const GradMode mode = shape.h % 2 == 0 ? GradMode::kOverwrite : GradMode::kAccumulate;
    const Outputs want = data.run(Reference{}, mode);
    for (const NetPrecision precision : kPrecisions) {
      CAPTURE(shape.n, shape.h, shape.w, shape.c, shape.concat_elu_input, int(precision));
      const auto run = [&] { return data.run(precision, mode); };
      // Large products take the emulator's time, and all precisions have the same barriers.
      const bool every_schedule = shape.c <= 33 || precision == NetPrecision::kTf32;
      const Outputs got = every_schedule ? run_schedules(run) : run();
      for (std::size_t i = 0; i < want.size(); ++i) {
        INFO("output " << i);
        CHECK(relative_error(got[i], want[i]) <= block_bound(precision, shape.c));
      }
    }
  }
}

TEST_CASE("GPU gated block gradients overwrite or accumulate") {
  for (const GatedBlockShape& shape : {GatedBlockShape{3, 3, 5, 12, true}, {1, 2, 3, 66, false}}) {
    CAPTURE(shape.c);
    const GpuBlockData data(shape);
    Outputs written = data.run(NetPrecision::kFp32, GradMode::kOverwrite);
    const Outputs added = data.run(NetPrecision::kFp32, GradMode::kAccumulate);
    for (std::size_t i = 3; i < written.size(); ++i) {
      for (double& value : written[i]) value += 1;
      CHECK(relative_error(added[i], written[i]) < 1e-6);  // one float rounding of each element
    }
  }
}

TEST_CASE("One channel: the GPU layer norm makes y = beta and lets no gradient through") {
  const GpuBlockData data({2, 3, 3, 1, true});
  const Outputs got = data.run(NetPrecision::kFp32, GradMode::kOverwrite);
  for (double y : got[0]) CHECK(y == data.beta[0]);
  // What is left is a rounding of dy * gamma, times 1 / sqrt(eps) = 316.
  for (double dx : got[3]) CHECK(std::abs(dx) < 1e-3);
}

TEST_CASE("The GPU gated block needs neither saved maps nor gradients that nobody asked for") {
  for (const GatedBlockShape& shape : {GatedBlockShape{1, 5, 7, 20, true}, {1, 2, 3, 66, true}}) {
    const GpuBlockData data(shape);
    const Outputs want = data.run(NetPrecision::kTf32, GradMode::kOverwrite);
    CHECK(same_bits(data.run(NetPrecision::kTf32, GradMode::kOverwrite, 0, false)[0], want[0]));
    for (unsigned which = 0; which < 8; ++which) {  // each gradient alone, then none
      const Outputs got = data.run(NetPrecision::kTf32, GradMode::kOverwrite, which < 7 ? 1u << which : 0u);
      for (unsigned i = 0; i < 7; ++i) {
        CAPTURE(shape.c, which, i);
        CHECK(same_bits(got[3 + i], i == which ? want[3 + i] : std::vector<double>(want[3 + i].size(), 1)));
      }
    }
  }
}

TEST_CASE("The GPU gated block takes an empty batch") {
  const GpuBlockData data({0, 5, 3, 20, true});
  const Outputs got = data.run(NetPrecision::kFp32, GradMode::kOverwrite);
  for (std::size_t i = 4; i < got.size(); ++i) {
    for (double value : got[i]) CHECK(value == 0);
  }
}

TEST_CASE("An image has the same bits alone and in a batch of the GPU gated block") {
  for (GatedBlockShape shape : {GatedBlockShape{3, 7, 7, 16, true}, {2, 5, 5, 50, false}, {2, 1, 3, 65, true}}) {
    const GpuBlockData data(shape);
    GatedBlockShape one = shape;
    one.n = 1;
    GpuBlockData alone(one);
    const std::size_t size = alone.x.size();
    for (const NetPrecision precision : kPrecisions) {
      const Outputs batch = data.run(precision, GradMode::kOverwrite);
      for (int n = 0; n < shape.n; ++n) {
        std::copy_n(data.x.begin() + n * size, size, alone.x.begin());
        std::copy_n(data.dy.begin() + n * size, size, alone.dy.begin());
        const Outputs got = alone.run(precision, GradMode::kOverwrite);
        for (int i = 0; i < 4; ++i) {
          const auto from = batch[i].begin() + n * got[i].size();
          CHECK(same_bits(got[i], std::vector<double>(from, from + got[i].size())));
        }
      }
    }
  }
}

TEST_CASE("NaN in one image reaches the GPU gated block's results of that image and all sums that x takes part in") {
  for (const NetPrecision precision : kPrecisions) {
    check_spread_of_nan<GpuBlockData>(
        [&](const GpuBlockData& data) { return data.run(precision, GradMode::kOverwrite); });
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
