// Sums and joined channels on the GPU, to the bit.
#include "kernels/join.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

TEST_CASE("gpu add and concat_channels agree with the reference") {
  for (const MapShape& shape : {MapShape{1, 1, 1, 2}, {3, 31, 1, 3}, {1, 3, 1, 257}, {2, 7, 9, 20}}) {
    const std::size_t pixels = shape.n * shape.pixels();
    const auto a = random_normal<float>(shape.size(), 1), b = random_normal<float>(shape.size(), 2);
    for (const int ca : {1, shape.c - 1}) {
      for (const GradMode mode : kGradModes) {
        CAPTURE(shape.n, shape.h, shape.w, shape.c, ca, int(mode));
        check_gpu_bits([&](auto backend) {
          const auto gradient = [&](std::size_t size) {
            const std::vector<float> before(size, 1);
            return mode == GradMode::kAccumulate ? put(backend, before) : blank<float>(backend, size);
          };
          auto in = put(backend, a), other = put(backend, b);
          auto sum = blank<float>(backend, a.size()), joined = blank<float>(backend, a.size());
          auto da = gradient(a.size()), db = gradient(a.size()), alone = gradient(a.size());
          auto first = gradient(pixels * ca), second = gradient(pixels * (shape.c - ca));
          add_forward(sum.data(), in.data(), other.data(), a.size(), backend);
          add_backward(da.grad(mode), db.grad(mode), in.data(), a.size(), backend);
          add_backward(Grad<float>{}, alone.grad(mode), in.data(), a.size(), backend);
          add_backward(Grad<float>{}, Grad<float>{}, in.data(), a.size(), backend);
          concat_channels_forward(joined.data(), in.data(), other.data(), shape, ca, backend);
          concat_channels_backward(first.grad(mode), Grad<float>{}, in.data(), shape, ca, backend);
          concat_channels_backward(Grad<float>{}, second.grad(mode), in.data(), shape, ca, backend);
          return outputs(sum.host(), da.host(), db.host(), alone.host(), joined.host(), first.host(), second.host());
        });
      }
    }
  }
}

TEST_CASE("a gpu gradient that both sides of an add share gets dy twice, and an empty batch changes nothing") {
  const DeviceArray<float> dy(std::vector<float>{1, 2, 3});
  DeviceArray<float> d(std::vector<float>{7, 7, 7});
  add_forward(d.data(), dy.data(), dy.data(), 0, test_stream());
  concat_channels_forward(d.data(), dy.data(), dy.data(), {0, 1, 1, 3}, 1, test_stream());
  concat_channels_backward(d.grad(), d.grad(), dy.data(), {0, 1, 1, 3}, 1, test_stream());
  CHECK(d.host() == std::vector<float>{7, 7, 7});
  add_backward(d.grad(), d.grad(GradMode::kAccumulate), dy.data(), 3, test_stream());
  CHECK(d.host() == std::vector<float>{2, 4, 6});
}

}  // namespace
}  // namespace flowsmith::core::testing
