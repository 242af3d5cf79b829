// Squeeze on the GPU: a permutation, so bits that agree with the reference.
#include "kernels/squeeze.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

TEMPLATE_TEST_CASE("gpu squeeze has the bits of the reference", "", float, double) {
  for (const MapShape& shape : {MapShape{1, 2, 2, 1}, {3, 6, 10, 3}, {1, 28, 28, 1}, {2, 14, 2, 16}, {1, 2, 14, 20}}) {
    CAPTURE(shape.n, shape.h, shape.w, shape.c);
    const auto values = random_normal<TestType>(shape.size(), 1), before = random_normal<TestType>(shape.size(), 2);
    check_gpu_bits([&](auto backend) {
      auto in = put(backend, values), sum = put(backend, before);
      auto out = blank<TestType>(backend, shape.size()), back = blank<TestType>(backend, shape.size());
      squeeze_forward(out.data(), in.data(), shape, backend);
      for (auto gradient : {back.grad(), sum.grad(GradMode::kAccumulate), Grad<TestType>{}}) {
        squeeze_inverse(gradient, out.data(), shape, backend);
      }
      CHECK(same_bits(back.host(), in.host()));
      return outputs(out.host(), sum.host());
    });
  }
}

TEST_CASE("gpu squeeze takes an empty batch and any alignment") {
  const MapShape shape{1, 2, 2, 3};
  const auto values = random_normal<float>(13, 1);
  const DeviceArray<float> in(values);
  DeviceArray<float> out(13), back(13), nothing(0);
  squeeze_forward(out.data() + 1, in.data() + 1, shape, test_stream());
  squeeze_inverse(Grad<float>{back.data() + 1}, out.data() + 1, shape, test_stream());
  const auto got = back.host();
  CHECK(std::equal(got.begin() + 1, got.end(), values.begin() + 1));
  squeeze_forward(nothing.data(), nothing.data(), {0, 2, 2, 3}, test_stream());
  squeeze_inverse(nothing.grad(), nothing.data(), {0, 2, 2, 3}, test_stream());
}

TEST_CASE("gpu kernels share out an image of more elements than they have threads, and refuse one of 2^31") {
  const MapShape large{1, 2, 2 * (4096 * 256 + 300), 1};  // grid.h: 4096 parts of 256 threads
  std::vector<float> values(large.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = float(i);  // below 2^24: exact
  check_gpu_bits([&](auto backend) {
    auto in = put(backend, values), out = blank<float>(backend, large.size()),
         back = blank<float>(backend, large.size());
    squeeze_forward(out.data(), in.data(), large, backend);
    squeeze_inverse(back.grad(), out.data(), large, backend);
    CHECK(same_bits(back.host(), values));
    return outputs(out.host());
  });
  float* const none = nullptr;
  CHECK_THROWS_WITH(squeeze_forward(none, none, {1, 32768, 65536, 1}, test_stream()), Catch::Contains("2^31"));
}

}  // namespace
}  // namespace flowsmith::core::testing
