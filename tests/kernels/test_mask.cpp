// Masks against their printed values, and the conditioner's input.
#include "kernels/mask.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::testing {
namespace {

constexpr Mask kMasks[] = {{MaskKind::kCheckerboard, false},
                           {MaskKind::kCheckerboard, true},
                           {MaskKind::kChannel, false},
                           {MaskKind::kChannel, true}};

TEST_CASE("the checkerboard starts with 0 and is the same in every channel") {
  const int want[3][4] = {{0, 1, 0, 1}, {1, 0, 1, 0}, {0, 1, 0, 1}};
  for (int y = 0; y < 3; ++y) {
    for (int x = 0; x < 4; ++x) {
      for (int c = 0; c < 3; ++c) {
        CHECK(mask_value({MaskKind::kCheckerboard, false}, y, x, c, 3) == (want[y][x] == 1));
        CHECK(mask_value({MaskKind::kCheckerboard, true}, y, x, c, 3) == (want[y][x] == 0));
      }
    }
  }
}

TEST_CASE("the channel mask is 1 for the first floor(c/2) channels, at every pixel") {
  const auto row = [](bool invert, int channels) {
    std::vector<int> values;
    for (int c = 0; c < channels; ++c) values.push_back(mask_value({MaskKind::kChannel, invert}, 1, 2, c, channels));
    return values;
  };
  CHECK(row(false, 4) == std::vector<int>{1, 1, 0, 0});
  CHECK(row(true, 4) == std::vector<int>{0, 0, 1, 1});
  CHECK(row(false, 3) == std::vector<int>{1, 0, 0});
  CHECK(row(true, 3) == std::vector<int>{0, 1, 1});
  CHECK(row(false, 1) == std::vector<int>{0});
}

TEST_CASE("the conditioner sees the masked z, then the image on [-1, 1]") {
  const MapShape shape{1, 1, 3, 2};
  const std::vector<double> z{1, 2, 3, 4, 5, 6};
  const std::vector<std::uint8_t> image{0, 255, 51};
  std::vector<float> input(9, -9.0f);
  const Mask mask{MaskKind::kCheckerboard, false};
  conditioner_input_forward(input.data(), z.data(), image.data(), 1, shape, mask, Reference{});
  CHECK(input == std::vector<float>{0, 0, -1, 3, 4, 1, 0, 0, 51 / 255.0f * 2 - 1});
}

TEST_CASE("conditioner_input gradients") {
  for (Mask mask : kMasks) {
    for (int c_image : {0, 1, 3}) {
      const MapShape shape{3, 3, 1, 5};
      const std::vector<std::uint8_t> image = random_bytes(shape.pixels() * shape.n * c_image, 1);
      const std::size_t input_size = shape.pixels() * shape.n * (shape.c + c_image);
      const std::vector<double> dinput = random_normal<double>(input_size, 2);
      check_gradients(
          {random_normal<double>(shape.size(), 3)},
          [&](const Inputs& in) {
            std::vector<double> input(input_size);
            conditioner_input_forward(input.data(), in[0].data(), image.data(), c_image, shape, mask, Reference{});
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
    for (Mask mask : kMasks) {
      for (int c_image : {0, 1}) {
        const auto z = random_normal<TestType>(shape.size(), 1);
        const std::size_t pixels = shape.pixels() * shape.n;
        const auto image = random_bytes(pixels * c_image, 2);
        const auto dinput = random_normal<float>(pixels * (shape.c + c_image), 3);
        for (GradMode mode : kGradModes) {
          const auto run = [&](auto backend) {
            std::vector<float> input(dinput.size());
            conditioner_input_forward(input.data(), z.data(), image.data(), c_image, shape, mask, backend);
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
}  // namespace flowsmith::testing
