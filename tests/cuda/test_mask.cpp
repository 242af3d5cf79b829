// The conditioner's input on the GPU: numbers that only move, so bits that agree with the reference.
#include "kernels/mask.h"
#include "tests/cuda/backend_array.h"
#include "tests/support/masks.h"

namespace flowsmith::core::testing {
namespace {

constexpr MapShape kShapes[] = {{1, 1, 1, 1}, {3, 7, 9, 3}, {1, 28, 28, 1}, {3, 3, 1, 20}, {1, 7, 7, 48}};

TEMPLATE_TEST_CASE("gpu conditioner input has the bits of the reference", "", float, double) {
  for (const MapShape& shape : kShapes) {
    for (const Mask& kind : kMasks) {
      for (int c_image : {0, 1, 3}) {
        CAPTURE(shape.n, shape.h, shape.w, shape.c, int(kind.kind), kind.invert, c_image);
        const std::size_t pixels = shape.n * shape.pixels(), wide = pixels * (shape.c + c_image);
        const auto values = random_normal<TestType>(shape.size(), 1);
        const auto bytes = random_bytes(pixels * c_image, 2);
        const auto dinput = random_normal<float>(wide, 3);
        check_gpu_bits([&](auto backend) {
          auto bits = put(backend, test_bits(shape));
          const Mask mask = with_bits(kind, bits.data());
          auto z = put(backend, values), dz = blank<TestType>(backend, shape.size()), more = put(backend, values);
          auto image = put(backend, bytes);
          auto input = blank<float>(backend, wide), d = put(backend, dinput);
          conditioner_input_forward(input.data(), z.data(), c_image == 0 ? nullptr : image.data(), c_image, 32, shape,
                                    mask, backend);
          for (auto gradient : {dz.grad(), more.grad(GradMode::kAccumulate), Grad<TestType>{}}) {
            conditioner_input_backward(gradient, d.data(), c_image, shape, mask, backend);
          }
          return outputs(input.host(), dz.host(), more.host());
        });
      }
    }
  }
}

TEST_CASE("gpu conditioner input hides what the mask hides, NaN too, and takes an empty batch") {
  const DeviceArray<float> z(std::vector<float>{NAN, 2, NAN, 4});
  DeviceArray<float> input(4), dz(4);
  const Mask mask{MaskKind::kCheckerboard, false};
  conditioner_input_forward(input.data(), z.data(), nullptr, 0, kGreyLevels, {1, 1, 4, 1}, mask, test_stream());
  CHECK(input.host() == std::vector<float>{0, 2, 0, 4});
  conditioner_input_backward(dz.grad(), z.data(), 0, {1, 1, 4, 1}, mask, test_stream());
  CHECK(dz.host() == std::vector<float>{0, 2, 0, 4});
  conditioner_input_forward(input.data(), z.data(), nullptr, 0, kGreyLevels, {0, 1, 4, 1}, {}, test_stream());
  conditioner_input_backward(dz.grad(), z.data(), 0, {0, 1, 4, 1}, {}, test_stream());
  CHECK(input.host() == std::vector<float>{0, 2, 0, 4});
}

}  // namespace
}  // namespace flowsmith::core::testing
