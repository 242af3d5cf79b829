// One line per channel on the GPU: against the reference, round trips, null gradients and empty batches.
#include "kernels/channel_affine.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

/// 28 x 28 x 16 has several slices per image, 257 channels two groups of them (channel_sums.h).
constexpr MapShape kShapes[] = {{1, 1, 1, 1}, {3, 7, 1, 3}, {2, 7, 9, 48}, {1, 28, 28, 16}, {3, 1, 1, 257}};
constexpr double kFactor = 3;

struct Values {
  MapShape shape;
  std::vector<float> z = random_normal<float>(shape.size(), 1), dz_out = random_normal<float>(shape.size(), 2);
  std::vector<float> log_scale = random_normal<float>(shape.c, 3, 0.3), bias = random_normal<float>(shape.c, 4);
  std::vector<double> dlogdet = random_normal<double>(shape.n, 5);
};

TEMPLATE_TEST_CASE("gpu channel_affine agrees with the reference in both directions", "", float, double) {
  for (const MapShape& shape : kShapes) {
    for (const bool with_bias : {true, false}) {
      CAPTURE(shape.n, shape.h, shape.w, shape.c, with_bias);
      const Values values{shape};
      // The log-scales cancel in part: what they are added to has the size of a sum that does not.
      const std::vector<double> before(shape.n, double(shape.image_size()));
      // Computed in double and rounded once; a GPU's exp may differ in the last bits of a double.
      check_gpu(
          [&](auto backend) {
            using Z = Real<TestType, decltype(backend)>;
            auto z = put(backend, as<Z>(values.z)), out = blank<Z>(backend, shape.size());
            auto back = blank<Z>(backend, shape.size()), again = blank<Z>(backend, shape.size());
            auto log_scale = put(backend, values.log_scale), bias_values = put(backend, values.bias);
            const float* bias = with_bias ? bias_values.data() : nullptr;
            auto up = put(backend, before), down = put(backend, before);
            channel_affine_forward(out.data(), up.data(), z.data(), log_scale.data(), bias, kFactor, shape, backend);
            channel_affine_inverse(back.data(), down.data(), z.data(), log_scale.data(), bias, kFactor, shape, backend);
            channel_affine_inverse(again.data(), nullptr, out.data(), log_scale.data(), bias, kFactor, shape, backend);
            return outputs(out.host(), up.host(), back.host(), down.host(), again.host());
          },
          sizeof(TestType) == 4 ? 3e-7 : 1e-14);
    }
  }
}

TEMPLATE_TEST_CASE("gpu channel_affine gradients agree with the reference", "", float, double) {
  for (const MapShape& shape : kShapes) {
    for (const GradMode mode : kGradModes) {
      for (const bool in_flow : {true, false}) {
        CAPTURE(shape.n, shape.h, shape.w, shape.c, int(mode), in_flow);
        const Values values{shape};
        // Sums in double, one rounding to float of dlog_scale and dbias, and of dz where that is float.
        check_gpu(
            [&](auto backend) {
              using Z = Real<TestType, decltype(backend)>;
              const bool add = mode == GradMode::kAccumulate;
              auto z = put(backend, as<Z>(values.z)), dz_out = put(backend, as<Z>(values.dz_out));
              auto log_scale = put(backend, values.log_scale), bias = put(backend, values.bias);
              auto dlogdet = put(backend, values.dlogdet);
              auto dz = add ? put(backend, as<Z>(values.z)) : blank<Z>(backend, shape.size());
              auto dlog_scale = add ? put(backend, values.log_scale) : blank<float>(backend, shape.c);
              auto dbias = add ? put(backend, values.bias) : blank<float>(backend, shape.c);
              channel_affine_backward(dz.grad(mode), dlog_scale.grad(mode), dbias.grad(mode), dz_out.data(),
                                      in_flow ? dlogdet.data() : nullptr, z.data(), log_scale.data(),
                                      in_flow ? bias.data() : nullptr, kFactor, shape, backend);
              return outputs(dz.host(), dlog_scale.host(), dbias.host());
            },
            3e-7);
      }
    }
  }
}

TEST_CASE("gpu channel_affine works in place, its gradient too, and writes only what was asked for") {
  const MapShape shape{3, 9, 7, 6};
  const Values values{shape};
  const DeviceArray<float> z(values.z), log_scale(values.log_scale), bias(values.bias);
  DeviceArray<float> out(values.z), in_place(values.z);
  const TestGpu gpu = test_stream();
  channel_affine_forward(out.data(), nullptr, z.data(), log_scale.data(), bias.data(), 1, shape, gpu);
  channel_affine_forward(in_place.data(), nullptr, in_place.data(), log_scale.data(), bias.data(), 1, shape, gpu);
  CHECK(same_bits(in_place.host(), out.host()));

  const auto run = [&](bool with_dz, bool with_dlog_scale, bool with_dbias, bool replace) {
    DeviceArray<float> from(values.dz_out), dz(values.z), dlog_scale(values.log_scale), dbias(values.bias);
    DeviceArray<float>& to = replace ? from : dz;
    channel_affine_backward(with_dz ? to.grad() : Grad<float>{}, with_dlog_scale ? dlog_scale.grad() : Grad<float>{},
                            with_dbias ? dbias.grad() : Grad<float>{}, from.data(), nullptr, z.data(), log_scale.data(),
                            bias.data(), 1, shape, gpu);
    return outputs(to.host(), dlog_scale.host(), dbias.host());
  };
  const Outputs all = run(true, true, true, false), none = run(false, false, false, false);
  CHECK(none == outputs(values.z, values.log_scale, values.bias));
  CHECK(run(true, true, true, true) == all);
  for (int which = 0; which < 3; ++which) {
    const Outputs one = run(which == 0, which == 1, which == 2, false);
    for (int i = 0; i < 3; ++i) CHECK(same_bits(one[i], i == which ? all[i] : none[i]));
  }
}

TEST_CASE("a gpu channel_affine of no image has gradient 0") {
  const MapShape shape{0, 7, 9, 3};
  DeviceArray<float> nothing(0), dlog_scale(std::vector<float>{1, 2, 3}), dbias(std::vector<float>{1, 2, 3});
  DeviceArray<double> nothing64(0);
  const DeviceArray<float> log_scale(std::vector<float>(3));
  const TestGpu gpu = test_stream();
  channel_affine_forward(nothing.data(), nothing64.data(), nothing.data(), log_scale.data(), nullptr, 1, shape, gpu);
  channel_affine_backward(nothing.grad(), dlog_scale.grad(), dbias.grad(GradMode::kAccumulate), nothing.data(),
                          nothing64.data(), nothing.data(), log_scale.data(), nullptr, 1, shape, gpu);
  CHECK(dlog_scale.host() == std::vector<float>{0, 0, 0});
  CHECK(dbias.host() == std::vector<float>{1, 2, 3});
}

}  // namespace
}  // namespace flowsmith::core::testing
