// The GPU convolutions against the plain ones in double, in every precision: odd sizes, both windows, with and without
// the fused ELU-concat; then what must not change a bit.
#include "tests/cuda/conv_data.h"

namespace flowsmith::core::testing {
namespace {

constexpr NetPrecision kPrecisions[] = {NetPrecision::kFp32, NetPrecision::kTf32, NetPrecision::kBf16};

/// Channels below, at and beside every plan of columns; images of less than a block, of several, and wider than a
/// block's band; channels that take several chunks and several blocks.
constexpr ConvShape kShapes[] = {
    {1, 1, 1, 1, 1, 3, false},   {3, 7, 7, 2, 3, 3, true},    {1, 3, 1, 3, 20, 1, false}, {1, 28, 28, 1, 16, 3, false},
    {3, 9, 7, 32, 16, 3, true},  {1, 9, 28, 64, 2, 3, true},  {2, 3, 5, 20, 48, 3, true}, {1, 7, 9, 40, 20, 3, true},
    {1, 5, 5, 96, 48, 3, true},  {2, 3, 5, 128, 64, 3, true}, {1, 9, 9, 96, 96, 1, true}, {3, 3, 3, 16, 15, 1, false},
    {1, 2, 200, 6, 4, 3, false}, {1, 1, 3, 514, 5, 3, true},  {1, 3, 3, 6, 257, 1, true}, {1, 3, 2, 64, 70, 1, false},
};

TEST_CASE("GPU convolutions agree with the plain ones in every precision and schedule") {
  for (const ConvShape& shape : kShapes) {
    const GpuConvData data(shape);
    const GradMode mode = shape.h % 2 == 0 ? GradMode::kOverwrite : GradMode::kAccumulate;
    const Outputs want = data.run(Reference{}, mode);
    for (const NetPrecision precision : kPrecisions) {
      CAPTURE(shape.n, shape.h, shape.w, shape.c_in, shape.c_out, shape.kernel, shape.concat_elu, int(precision));
      const auto run = [&] { return data.run(precision, mode); };
      // Large products take the emulator's time, and all precisions have the same barriers.
      const bool every_schedule = shape.weight_size() < 10000 || precision == NetPrecision::kTf32;
      const Outputs got = every_schedule ? run_schedules(run) : run();
      for (std::size_t i = 0; i < want.size(); ++i) {
        INFO("output " << i);
        CHECK(relative_error(got[i], want[i]) <= conv_bound(precision));
      }
    }
  }
}

TEST_CASE("GPU convolution gradients overwrite or accumulate") {
  for (const ConvShape& shape : {ConvShape{2, 5, 3, 20, 5, 3, true}, {1, 3, 3, 5, 16, 1, false}}) {
    CAPTURE(shape.c_in, shape.c_out);
    const GpuConvData data(shape);
    Outputs written = data.run(NetPrecision::kTf32, GradMode::kOverwrite);
    const Outputs added = data.run(NetPrecision::kTf32, GradMode::kAccumulate);
    for (std::size_t i = 1; i < written.size(); ++i) {
      for (double& value : written[i]) value += 1;         // where the gradients start
      CHECK(relative_error(added[i], written[i]) < 1e-6);  // one float rounding of each element
    }
  }
}

TEST_CASE("GPU convolutions write only the gradients that were asked for") {
  check_single_gradients(GpuConvData({3, 5, 3, 20, 20, 3, true}), test_stream());
}

TEST_CASE("GPU convolutions of an empty batch give no outputs and gradients of zero") {
  check_empty_batch(test_stream());
}

TEST_CASE("An image has the same bits alone and in a batch of GPU convolutions") {
  for (ConvShape shape :
       {ConvShape{3, 7, 7, 64, 20, 3, true}, {3, 5, 9, 12, 2, 3, true}, {3, 7, 3, 20, 20, 1, false}}) {
    const GpuConvData data(shape);
    ConvShape one = shape;
    one.n = 1;
    GpuConvData alone(one);
    for (const NetPrecision precision : kPrecisions) {
      const Outputs batch = data.run(precision, GradMode::kOverwrite);
      for (int n = 0; n < 3; ++n) {
        std::copy_n(data.x.begin() + n * alone.x.size(), alone.x.size(), alone.x.begin());
        std::copy_n(data.dy.begin() + n * alone.dy.size(), alone.dy.size(), alone.dy.begin());
        const Outputs got = alone.run(precision, GradMode::kOverwrite);
        for (int i : {0, 1}) {
          const auto from = batch[i].begin() + n * got[i].size();
          CHECK(same_bits(got[i], std::vector<double>(from, from + got[i].size())));
        }
      }
    }
  }
}

int count_nan(const std::vector<double>& values, std::size_t begin, std::size_t end) {
  return int(std::count_if(values.begin() + begin, values.begin() + end, [](double v) { return std::isnan(v); }));
}

TEST_CASE("NaN passes through GPU convolutions and stays within its image and window") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (ConvShape shape : {ConvShape{3, 5, 9, 32, 20, 3, true}, {3, 5, 9, 3, 1, 3, false}}) {
    for (const NetPrecision precision : kPrecisions) {
      CAPTURE(shape.c_in, shape.c_out, int(precision));
      GpuConvData data(shape);
      const std::size_t x_image = shape.x().image_size(), y_image = shape.y().image_size();
      data.x[x_image + 20 * shape.x_channels()] = nan;  // second image, row 2, column 2
      Outputs got = data.run(precision, GradMode::kOverwrite);
      CHECK(count_nan(got[0], y_image, 2 * y_image) == 9 * shape.c_out);
      CHECK(count_nan(got[0], 0, 3 * y_image) == 9 * shape.c_out);
      CHECK(count_nan(got[2], 0, got[2].size()) == (shape.concat_elu ? 2 : 1) * 9 * shape.c_out);

      data = GpuConvData(shape);
      data.dy[y_image + 20 * shape.c_out] = nan;
      got = data.run(precision, GradMode::kOverwrite);
      CHECK(count_nan(got[1], x_image, 2 * x_image) == 9 * shape.x_channels());
      CHECK(count_nan(got[1], 0, 3 * x_image) == 9 * shape.x_channels());
      CHECK(count_nan(got[2], 0, got[2].size()) == 9 * shape.c_in);
      CHECK(count_nan(got[3], 0, got[3].size()) == 1);
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
