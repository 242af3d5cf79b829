// Additive coupling on the GPU: one addition, so bits that agree with the reference.
#include "kernels/additive_coupling.h"
#include "tests/cuda/backend_array.h"
#include "tests/support/masks.h"

namespace flowsmith::core::testing {
namespace {

TEMPLATE_TEST_CASE("gpu additive coupling has the bits of the reference", "", float, double) {
  for (const MapShape& shape : {MapShape{1, 1, 1, 1}, {3, 7, 1, 3}, {1, 28, 28, 1}, {2, 1, 1, 1024}, {1, 2, 3, 257}}) {
    for (const Mask& kind : kMasks) {
      CAPTURE(shape.n, shape.h, shape.w, shape.c, int(kind.kind), kind.invert);
      const auto values = random_normal<TestType>(shape.size(), 1);
      const auto shifts = random_normal<float>(shape.size(), 2);
      check_gpu_bits([&](auto backend) {
        auto bits = put(backend, test_bits(shape));
        const Mask mask = with_bits(kind, bits.data());
        auto z = put(backend, values), up = blank<TestType>(backend, shape.size());
        auto down = blank<TestType>(backend, shape.size()), dz = blank<TestType>(backend, shape.size());
        auto t = put(backend, shifts), dt = blank<float>(backend, shape.size());
        additive_coupling_forward(up.data(), z.data(), t.data(), shape, mask, backend);
        additive_coupling_inverse(down.data(), z.data(), t.data(), shape, mask, backend);
        additive_coupling_backward(dz.grad(), dt.grad(), z.data(), shape, mask, backend);
        additive_coupling_backward(dz.grad(GradMode::kAccumulate), Grad<float>{}, up.data(), shape, mask, backend);
        additive_coupling_backward(Grad<TestType>{}, dt.grad(GradMode::kAccumulate), up.data(), shape, mask, backend);
        additive_coupling_backward(Grad<TestType>{}, Grad<float>{}, up.data(), shape, mask, backend);
        additive_coupling_forward(z.data(), z.data(), t.data(), shape, mask, backend);
        CHECK(same_bits(z.host(), up.host()));
        additive_coupling_backward(z.grad(), dt.grad(GradMode::kAccumulate), z.data(), shape, mask, backend);
        CHECK(same_bits(z.host(), up.host()));
        return outputs(up.host(), down.host(), dz.host(), dt.host());
      });
    }
  }
}

TEST_CASE("the masked part of a gpu additive coupling is a copy of bits, and an empty batch changes nothing") {
  const std::vector<float> values{1, NAN, 1, -INFINITY, 1, -0.0f};
  const DeviceArray<float> z(values), t(std::vector<float>(6, 2.0f));
  DeviceArray<float> up(6), down(6);
  const Mask mask{MaskKind::kAlternatingChannel, false};
  const TestGpu gpu = test_stream();
  additive_coupling_forward(up.data(), z.data(), t.data(), {1, 1, 1, 6}, mask, gpu);
  additive_coupling_inverse(down.data(), z.data(), t.data(), {1, 1, 1, 6}, mask, gpu);
  additive_coupling_forward(up.data(), z.data(), t.data(), {0, 1, 1, 6}, mask, gpu);
  additive_coupling_inverse(down.data(), z.data(), t.data(), {0, 1, 1, 6}, mask, gpu);
  additive_coupling_backward(up.grad(), down.grad(), z.data(), {0, 1, 1, 6}, mask, gpu);
  for (int i = 0; i < 6; i += 2) CHECK((up.host()[i] == 3 && down.host()[i] == -1));
  for (const auto& out : {up.host(), down.host()}) {
    for (int i = 1; i < 6; i += 2) CHECK(std::memcmp(&out[i], &values[i], sizeof(float)) == 0);
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
