// Masks against their printed values, and the conditioner's input.
#include "kernels/mask.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/masks.h"

namespace flowsmith::core::testing {
namespace {

TEST_CASE("the checkerboard starts with 0 and is the same in every channel") {
  const int want[3][4] = {{0, 1, 0, 1}, {1, 0, 1, 0}, {0, 1, 0, 1}};
  for (int y = 0; y < 3; ++y) {
    for (int x = 0; x < 4; ++x) {
      for (int c = 0; c < 3; ++c) {
        CHECK(mask_value({MaskKind::kCheckerboard, false}, y, x, c, {}) == (want[y][x] == 1));
        CHECK(mask_value({MaskKind::kCheckerboard, true}, y, x, c, {}) == (want[y][x] == 0));
      }
    }
  }
}

/// The mask over the channels of one pixel.
std::vector<int> mask_row(Mask mask, int channels) {
  std::vector<int> values;
  for (int c = 0; c < channels; ++c) values.push_back(mask_value(mask, 1, 2, c, {.c = channels}));
  return values;
}

TEST_CASE("the channel mask is 1 for the first floor(c/2) channels, at every pixel") {
  const auto row = [](bool invert, int channels) { return mask_row({MaskKind::kChannel, invert}, channels); };
  CHECK(row(false, 4) == std::vector<int>{1, 1, 0, 0});
  CHECK(row(true, 4) == std::vector<int>{0, 0, 1, 1});
  CHECK(row(false, 3) == std::vector<int>{1, 0, 0});
  CHECK(row(true, 3) == std::vector<int>{0, 1, 1});
  CHECK(row(false, 1) == std::vector<int>{0});
}

TEST_CASE("the alternating mask is 1 for every second channel, at every pixel") {
  CHECK(mask_row({MaskKind::kAlternatingChannel, false}, 5) == std::vector<int>{0, 1, 0, 1, 0});
  CHECK(mask_row({MaskKind::kAlternatingChannel, true}, 4) == std::vector<int>{1, 0, 1, 0});
  CHECK(mask_row({MaskKind::kAlternatingChannel, false}, 1) == std::vector<int>{0});
}

TEST_CASE("a list mask has a bit for every element of an image") {
  for (const MapShape image : {MapShape{1, 1, 1, 1}, {1, 1, 1, 31}, {1, 1, 1, 1024}, {1, 3, 5, 7}}) {
    const std::vector<std::uint8_t> list = test_list(image);
    const std::vector<std::uint32_t> bits = mask_bits(list);
    CHECK(bits.size() == (image.image_size() + 31) / 32);
    std::size_t i = 0;
    for (int y = 0; y < image.h; ++y) {
      for (int x = 0; x < image.w; ++x) {
        for (int k = 0; k < image.c; ++k, ++i) {
          CHECK(mask_value({MaskKind::kList, false, bits.data()}, y, x, k, image) == (list[i] != 0));
          CHECK(mask_value({MaskKind::kList, true, bits.data()}, y, x, k, image) == (list[i] == 0));
        }
      }
    }
  }
  CHECK(mask_bits({0, 1, 1, 0, 7}) == std::vector<std::uint32_t>{0b10110});
  CHECK(mask_bits(std::vector<std::uint8_t>(33, 1)) == std::vector<std::uint32_t>{0xffffffff, 1});
}

TEST_CASE("the conditioner sees the masked z, then the image on [-1, 1]") {
  const MapShape shape{1, 1, 3, 2};
  const std::vector<double> z{1, 2, 3, 4, 5, 6};
  const std::vector<std::uint8_t> image{0, 255, 51};
  std::vector<float> input(9, -9.0f);
  const Mask mask{MaskKind::kCheckerboard, false};
  conditioner_input_forward(input.data(), z.data(), image.data(), 1, kGreyLevels, shape, mask, Reference{});
  CHECK(input == std::vector<float>{0, 0, -1, 3, 4, 1, 0, 0, 51 / 255.0f * 2 - 1});
}

TEST_CASE("the conditioner sees of the image what is left at fewer grey levels") {
  const std::vector<double> z(4);
  const std::vector<std::uint8_t> image{63, 64, 191, 255};
  std::vector<double> input(8);
  const auto last = [&](int levels) {
    conditioner_input_forward(input.data(), z.data(), image.data(), 1, levels, {1, 1, 4, 1}, {}, Reference{});
    return std::vector<double>{input[1], input[3], input[5], input[7]};
  };
  CHECK(last(2) == std::vector<double>{-1, -1, 1, 1});
  CHECK(last(4) == std::vector<double>{-1, 1 / 3.0 * 2 - 1, 2 / 3.0 * 2 - 1, 1});
  CHECK(last(256) == std::vector<double>{63 / 255.0 * 2 - 1, 64 / 255.0 * 2 - 1, 191 / 255.0 * 2 - 1, 1});
}

TEST_CASE("conditioner_input gradients") {
  const MapShape shape{3, 3, 1, 5};
  const std::vector<std::uint32_t> bits = test_bits(shape);
  for (Mask mask : kMasks) {
    mask = with_bits(mask, bits.data());
    for (int c_image : {0, 1, 3}) {
      const std::vector<std::uint8_t> image = random_bytes(shape.pixels() * shape.n * c_image, 1);
      const std::size_t input_size = shape.pixels() * shape.n * (shape.c + c_image);
      const std::vector<double> dinput = random_normal<double>(input_size, 2);
      check_gradients(
          {random_normal<double>(shape.size(), 3)},
          [&](const Inputs& in) {
            std::vector<double> input(input_size);
            conditioner_input_forward(input.data(), in[0].data(), image.data(), c_image, kGreyLevels, shape, mask,
                                      Reference{});
            return dot(input, dinput);
          },
          [&](const Inputs&, const Gradients& gradients) {
            conditioner_input_backward(gradients[0], dinput.data(), c_image, shape, mask, Reference{});
          });
    }
  }
}

TEMPLATE_TEST_CASE("cpu conditioner_input is the reference's, bit for bit", "", float, double) {
  for (MapShape shape : {MapShape{1, 1, 1, 1}, {3, 31, 1, 3}, {31, 1, 3, 4}, {257, 9, 3, 3}}) {
    const std::vector<std::uint32_t> bits = test_bits(shape);
    for (Mask mask : kMasks) {
      mask = with_bits(mask, bits.data());
      for (int c_image : {0, 1}) {
        const auto z = random_normal<TestType>(shape.size(), 1);
        const std::size_t pixels = shape.pixels() * shape.n;
        const auto image = random_bytes(pixels * c_image, 2);
        const auto dinput = random_normal<float>(pixels * (shape.c + c_image), 3);
        for (GradMode mode : kGradModes) {
          const auto run = [&](auto backend) {
            std::vector<float> input(dinput.size());
            conditioner_input_forward(input.data(), z.data(), image.data(), c_image, 32, shape, mask, backend);
            auto dz = random_normal<TestType>(shape.size(), 4);
            conditioner_input_backward(Grad<TestType>{dz.data(), mode}, dinput.data(), c_image, shape, mask, backend);
            return outputs(input, dz);
          };
          check_cpu(run, 0);  // copies, and one formula for the image
        }
      }
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
