// The fast host convolutions against the plain ones in double: every instruction set, odd sizes, both kernels, with and
// without the fused ELU-concat; then what must not change a bit.
#include "tests/support/conv_data.h"
#include "tests/support/simd_targets.h"

namespace flowsmith::testing {
namespace {

/// Each float sum of L products is off by about sqrt(L) roundings of 6e-8 of its size, and no sum here is longer than
/// 9 * 128 in y and dx or 3 * 31 * 31 in dweight; the accumulated gradients start from terms of that same size.
constexpr double kBound = 5e-6;

/// Channels below, at and beside the lanes of every instruction set; widths of whole and partial groups of pixels.
constexpr ConvShape kShapes[] = {
    {1, 1, 1, 1, 1, 3, false},    {3, 1, 3, 2, 3, 3, true},     {1, 3, 1, 3, 20, 1, false},
    {1, 31, 31, 1, 16, 3, false}, {1, 9, 31, 6, 2, 3, true},    {3, 7, 7, 32, 16, 3, true},
    {1, 7, 9, 16, 8, 3, false},   {1, 28, 28, 32, 2, 3, true},  {1, 9, 7, 64, 32, 3, true},
    {3, 7, 7, 40, 20, 3, true},   {1, 14, 14, 96, 48, 3, true}, {1, 3, 14, 128, 64, 3, true},
    {3, 3, 9, 96, 96, 1, true},   {1, 7, 7, 16, 15, 1, false},  {1, 5, 28, 64, 64, 1, true},
    {20, 3, 3, 8, 64, 3, false},  {1, 1, 9, 64, 128, 1, false},
};

TEST_CASE("Cpu convolutions agree with the plain ones on every instruction set and number of threads") {
  for_each_simd_target([] {
    for (const ConvShape& shape : kShapes) {
      CAPTURE(shape.n, shape.h, shape.w, shape.c_in, shape.c_out, shape.kernel, shape.concat_elu);
      const ConvData data(shape);
      const GradMode mode = shape.h % 2 == 0 ? GradMode::kOverwrite : GradMode::kAccumulate;
      check_cpu([&](auto backend) { return data.run(backend, mode); }, kBound);
    }
  });
}

TEST_CASE("Cpu convolution gradients overwrite or accumulate") {
  for (const ConvShape& shape : kShapes) {
    CAPTURE(shape.n, shape.h, shape.w, shape.c_in, shape.c_out, shape.kernel, shape.concat_elu);
    const ConvData data(shape);
    Outputs written = data.run(Cpu{}, GradMode::kOverwrite);
    const Outputs added = data.run(Cpu{}, GradMode::kAccumulate);
    for (std::size_t i = 1; i < written.size(); ++i) {
      for (double& value : written[i]) value += 1;         // where the gradients start
      CHECK(relative_error(added[i], written[i]) < 1e-6);  // one float rounding of each element
    }
  }
}

TEST_CASE("Cpu convolutions write only the gradients that were asked for") {
  const ConvData data({3, 5, 7, 32, 20, 3, true});
  std::vector<float> both_w(data.weight.size()), both_b(data.bias.size()), one_w(both_w), one_b(both_b);
  const auto backward = [&](Grad<float> dweight, Grad<float> dbias) {
    conv_backward_weights(dweight, dbias, data.dy.data(), data.x.data(), data.shape, Cpu{});
  };
  backward({both_w.data()}, {both_b.data()});
  backward({one_w.data()}, {});
  backward({}, {one_b.data()});
  backward({}, {});
  conv_backward_data({}, data.dy.data(), data.x.data(), data.weight.data(), data.shape, Cpu{});
  CHECK(same_bits(both_w, one_w));
  CHECK(same_bits(both_b, one_b));
}

TEST_CASE("An image has the same bits alone and in a batch of Cpu convolutions") {
  for (ConvShape shape : {ConvShape{3, 7, 7, 128, 64, 3, true}, {3, 9, 31, 32, 2, 3, true}, {3, 7, 9, 20, 20, 1}}) {
    const ConvData data(shape);
    const Outputs batch = data.run(Cpu{}, GradMode::kOverwrite);
    shape.n = 1;
    ConvData alone(shape);
    for (int n = 0; n < 3; ++n) {
      const auto cut = [n](const std::vector<float>& from, std::size_t size) {
        return std::vector<float>(from.begin() + n * size, from.begin() + (n + 1) * size);
      };
      alone.x = cut(data.x, alone.x.size());
      alone.dy = cut(data.dy, alone.dy.size());
      const Outputs one = alone.run(Cpu{}, GradMode::kOverwrite);
      for (int i : {0, 1}) {
        const auto from = batch[i].begin() + n * one[i].size();
        CHECK(same_bits(one[i], std::vector<double>(from, from + one[i].size())));
      }
    }
  }
}

int count_nan(const std::vector<double>& values, std::size_t begin, std::size_t end) {
  return int(std::count_if(values.begin() + begin, values.begin() + end, [](double v) { return std::isnan(v); }));
}

TEST_CASE("NaN passes through Cpu convolutions and stays within its image and window") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for_each_simd_target([nan] {
    for (ConvShape shape : {ConvShape{3, 5, 9, 32, 20, 3, true}, {3, 5, 9, 6, 2, 3, true}, {3, 5, 9, 3, 1, 3, false}}) {
      CAPTURE(shape.c_in, shape.c_out);
      ConvData data(shape);
      const std::size_t x_image = shape.x().image_size(), y_image = shape.y().image_size();
      data.x[x_image + 20 * shape.x_channels()] = nan;  // second image, row 2, column 2
      Outputs got = data.run(Cpu{}, GradMode::kOverwrite);
      CHECK(count_nan(got[0], y_image, 2 * y_image) == 9 * shape.c_out);
      CHECK(count_nan(got[0], 0, 3 * y_image) == 9 * shape.c_out);
      CHECK(count_nan(got[2], 0, got[2].size()) == (shape.concat_elu ? 2 : 1) * 9 * shape.c_out);

      data = ConvData(shape);
      data.dy[y_image + 20 * shape.c_out] = nan;
      got = data.run(Cpu{}, GradMode::kOverwrite);
      CHECK(count_nan(got[1], x_image, 2 * x_image) == 9 * shape.x_channels());
      CHECK(count_nan(got[1], 0, 3 * x_image) == 9 * shape.x_channels());
      CHECK(count_nan(got[2], 0, got[2].size()) == 9 * shape.c_in);
      CHECK(count_nan(got[3], 0, got[3].size()) == 1);

      data = ConvData(shape);
      data.weight[4 * shape.c_in * shape.c_out] = nan;  // of the middle tap: meets every pixel
      got = data.run(Cpu{}, GradMode::kOverwrite);
      CHECK(count_nan(got[0], 0, got[0].size()) == 3 * 45);
      CHECK(count_nan(got[1], 0, got[1].size()) == 3 * 45);
    }
  });
}

}  // namespace
}  // namespace flowsmith::testing
