// Weight normalisation on the GPU.
#include "kernels/weight_norm.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

TEST_CASE("gpu weight norm agrees with the reference") {
  for (const WeightNormShape shape : {WeightNormShape{1, 1}, {31, 3}, {3, 31}, {27, 257}}) {
    const auto v = random_normal<float>(shape.size(), 1), g = random_normal<float>(shape.out, 2);
    auto dw = random_normal<float>(shape.size(), 3);
    for (float& value : dw) value += 1;
    for (const GradMode mode : kGradModes) {
      CAPTURE(shape.rows, shape.out, int(mode));
      // All in double and rounded once, to float in both.
      check_gpu(
          [&](auto backend) {
            const auto gradient = [&](const std::vector<float>& before) {
              return mode == GradMode::kAccumulate ? put(backend, before) : blank<float>(backend, before.size());
            };
            auto direction = put(backend, v), length = put(backend, g), d = put(backend, dw);
            auto w = blank<float>(backend, v.size());
            auto dv = gradient(v), dg = gradient(g), dv_alone = gradient(v), dg_alone = gradient(g);
            weight_norm_forward(w.data(), direction.data(), length.data(), shape, backend);
            const auto backward = [&](Grad<float> of_v, Grad<float> of_g) {
              weight_norm_backward(of_v, of_g, d.data(), direction.data(), length.data(), shape, backend);
            };
            backward(dv.grad(mode), dg.grad(mode));
            backward(dv_alone.grad(mode), {});
            backward({}, dg_alone.grad(mode));
            backward({}, {});
            return outputs(w.host(), dv.host(), dg.host(), dv_alone.host(), dg_alone.host());
          },
          1e-7);
    }
  }
}

TEST_CASE("gpu weight norm is finite at 0 and at the ends of the range") {
  for (const float size : {0.0f, 1e4f}) {
    const WeightNormShape shape{9, 1};
    const DeviceArray<float> v(std::vector<float>(9, size)), dw(std::vector<float>(9, 1e4f));
    const DeviceArray<float> g(std::vector<float>{1e4f});
    DeviceArray<float> w(9), dv(9), dg(1);
    weight_norm_forward(w.data(), v.data(), g.data(), shape, test_stream());
    weight_norm_backward(dv.grad(), dg.grad(), dw.data(), v.data(), g.data(), shape, test_stream());
    for (const auto& values : {w.host(), dv.host(), dg.host()}) {
      for (const float value : values) CHECK(std::isfinite(value));
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
