// The fast host convolutions against the plain ones in double: every instruction set, odd sizes, both kernels, with and
// without the fused ELU-concat; then what must not change a bit.
#include "kernels/cpu/conv_image.h"
#include "tests/support/conv_data.h"
#include "tests/support/simd_targets.h"

namespace flowsmith::core::testing {
namespace {

/// Each float sum of L products is off by about sqrt(L) roundings of 6e-8 of its size, and no sum here is longer than
/// 9 * 128 in y and dx or 3 * 31 * 31 in dweight; the accumulated gradients start from terms of that same size.
constexpr double kBound = 5e-6;

/// Channels below, at and beside the lanes of every instruction set; widths of whole and partial groups of pixels. The
/// last ones are for Winograd's algorithm: odd sides, and several small images at once.
constexpr ConvShape kShapes[] = {
    {1, 1, 1, 1, 1, 3, false},    {3, 1, 3, 2, 3, 3, true},      {1, 3, 1, 3, 20, 1, false},
    {1, 31, 31, 1, 16, 3, false}, {1, 9, 31, 6, 2, 3, true},     {3, 7, 7, 32, 16, 3, true},
    {1, 7, 9, 16, 8, 3, false},   {1, 28, 28, 32, 2, 3, true},   {1, 9, 7, 64, 32, 3, true},
    {3, 7, 7, 40, 20, 3, true},   {1, 14, 14, 96, 48, 3, true},  {1, 3, 14, 128, 64, 3, true},
    {3, 3, 9, 96, 96, 1, true},   {1, 7, 7, 16, 15, 1, false},   {1, 5, 28, 64, 64, 1, true},
    {20, 3, 3, 8, 64, 3, false},  {1, 1, 9, 64, 128, 1, false},  {9, 7, 7, 16, 32, 3, false},
    {17, 5, 3, 32, 16, 3, false}, {1, 31, 31, 32, 16, 3, false}, {2, 13, 28, 16, 48, 3, false},
    {3, 9, 6, 16, 16, 3, false},
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

/// Zeroes what a mask makes useless in a map of the first convolution (x, dx) or the last one (y, dy) of a conditioner.
template <class T>
void blank(std::vector<T>& map, const MapShape& shape, const ConvMask& mask, bool is_x) {
  if (mask.channels == 0) return;
  for (std::size_t i = 0; i < map.size(); ++i) {
    const int k = int(i % shape.c), x = int(i / shape.c % shape.w), y = int(i / shape.c / shape.w % shape.h);
    const bool one = mask_value(mask.mask, y, x, k % mask.channels, {.w = shape.w, .c = mask.channels});
    if (is_x ? k < mask.channels && !one : one) map[i] = 0;
  }
}

TEST_CASE("Cpu convolutions leave out what a mask makes useless, and nothing else") {
  const int c = 4;
  const ConvShape first{3, 5, 9, c, 20, 3, false}, with_image{2, 4, 28, c + 2, 16, 3, false}, point{2, 3, 17, c, 9, 1};
  const ConvShape last{3, 5, 9, 16, 2 * c, 3, true}, wide{1, 28, 28, 32, 2 * c, 3, true},
      one{1, 1, 1, 2, 2 * c, 3, true};
  for_each_simd_target([&] {
    for (MaskKind kind : {MaskKind::kCheckerboard, MaskKind::kChannel, MaskKind::kAlternatingChannel}) {
      for (bool invert : {false, true}) {
        const ConvMask mask{{kind, invert}, c};
        for (ConvShape shape : {first, with_image, point, last, wide, one}) {
          (shape.concat_elu ? shape.y_mask : shape.x_mask) = mask;
          CAPTURE(int(kind), invert, shape.h, shape.w, shape.c_in, shape.c_out);
          ConvData data(shape);
          blank(data.x, shape.x(), shape.x_mask, true);
          blank(data.dy, shape.y(), shape.y_mask, false);
          for (GradMode mode : {GradMode::kOverwrite, GradMode::kAccumulate}) {
            // The plain loops do not look at the mask; nobody looks at what they compute in vain.
            check_cpu(
                [&](auto backend) {
                  Outputs all = data.run(backend, mode);
                  blank(all[0], shape.y(), shape.y_mask, false);
                  blank(all[1], shape.x(), shape.x_mask, true);
                  if (shape.x_mask.channels > 0) {
                    for (std::size_t i = 0; i < all[1].size(); ++i) {  // the image has no gradient
                      if (int(i % shape.c_in) >= c) all[1][i] = 0;
                    }
                  }
                  return all;
                },
                kBound);
          }
          // Something was left out: there is 0 and not a sum of random numbers.
          const bool some_pixels = kind == MaskKind::kCheckerboard;
          if (some_pixels && cpu::plan_conv(3, 16, 2 * c, false).vectors > 0) continue;  // vectors of few lanes do all
          const Outputs all = data.run(Cpu{}, GradMode::kOverwrite);
          std::vector<double> useful = all[shape.concat_elu ? 0 : 1];
          blank(useful, shape.concat_elu ? shape.y() : shape.x(), mask, !shape.concat_elu);
          if (shape.c_in > c && !shape.concat_elu) continue;  // beside an image
          CHECK(useful == all[shape.concat_elu ? 0 : 1]);
        }
      }
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
  for (ConvShape shape :
       {ConvShape{3, 7, 7, 128, 64, 3, true}, {3, 7, 7, 16, 32, 3}, {3, 9, 31, 32, 2, 3, true}, {3, 7, 9, 20, 20, 1}}) {
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
}  // namespace flowsmith::core::testing
