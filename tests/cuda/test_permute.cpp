// Permutation of the channels on the GPU: bits that agree with the reference.
#include "kernels/permute.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

TEMPLATE_TEST_CASE("gpu permutation has the bits of the reference, in place too", "", float, double) {
  for (const MapShape& shape :
       {MapShape{1, 1, 1, 1}, {3, 7, 9, 3}, {1, 14, 14, 12}, {3, 1, 1, 257}, {2, 1, 2, 1500}, {1, 1, 1, 9000}}) {
    CAPTURE(shape.n, shape.h, shape.w, shape.c);
    const auto values = random_normal<TestType>(shape.size(), 1), before = random_normal<TestType>(shape.size(), 2);
    const auto channels = random_order(shape.c, 1);
    check_gpu_bits([&](auto backend) {
      auto in = put(backend, values), sum = put(backend, before), in_place = put(backend, values);
      auto order = put(backend, channels);
      auto out = blank<TestType>(backend, shape.size()), back = blank<TestType>(backend, shape.size());
      permute_forward(out.data(), in.data(), order.data(), shape, backend);
      permute_forward(in_place.data(), in_place.data(), order.data(), shape, backend);
      CHECK(same_bits(in_place.host(), out.host()));
      permute_inverse(in_place.grad(), in_place.data(), order.data(), shape, backend);
      CHECK(same_bits(in_place.host(), values));
      for (auto gradient : {back.grad(), sum.grad(GradMode::kAccumulate), Grad<TestType>{}}) {
        permute_inverse(gradient, in.data(), order.data(), shape, backend);
      }
      return outputs(out.host(), back.host(), sum.host());
    });
  }
}

TEST_CASE("gpu permutation takes an empty batch, and refuses a pixel that shared memory cannot hold") {
  DeviceArray<float> nothing(0);
  const DeviceArray<std::uint32_t> order(reverse_order(3));
  permute_forward(nothing.data(), nothing.data(), order.data(), {0, 2, 2, 3}, test_stream());
  permute_inverse(nothing.grad(), nothing.data(), order.data(), {0, 2, 2, 3}, test_stream());
  DeviceArray<float> one(1);  // refused before it is touched
  CHECK_THROWS_WITH(permute_forward(one.data(), one.data(), order.data(), {1, 1, 1, 60000}, test_stream()),
                    Catch::Contains("60000 channels"));
}

}  // namespace
}  // namespace flowsmith::core::testing
