// Affine coupling on the GPU: against the reference, the exact copy of the masked half, round trips and null gradients.
#include <numeric>

#include "kernels/affine_coupling.h"
#include "tests/cuda/backend_array.h"
#include "tests/support/forms.h"
#include "tests/support/masks.h"

namespace flowsmith::core::testing {
namespace {

/// 28 x 28 x 16 has several slices per image, 257 channels two groups of them (channel_sums.h).
constexpr MapShape kShapes[] = {{1, 1, 1, 1},  {3, 7, 1, 3},    {1, 28, 28, 1}, {3, 3, 5, 20},
                                {2, 7, 9, 48}, {1, 28, 28, 16}, {1, 2, 3, 257}, {3, 9, 7, 2}};

/// All masks in the tutorial's form, then all forms with one mask that has bits.
struct Variant {
  Mask mask;
  AffineForm form;
};
std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const Mask& mask : kMasks) all.push_back({mask, AffineForm{}});
  for (const AffineForm& form : kForms) all.push_back({{MaskKind::kList, true}, form});
  return all;
}

struct Values {
  MapShape shape;
  std::vector<float> z = random_normal<float>(shape.size(), 1), st = random_normal<float>(2 * shape.size(), 2);
  std::vector<float> scaling_factor = random_normal<float>(shape.c, 3, 0.3);
  std::vector<float> dz_out = random_normal<float>(shape.size(), 4);
  std::vector<double> dlogdet = random_normal<double>(shape.n, 5);
};

TEMPLATE_TEST_CASE("gpu affine coupling agrees with the reference in both directions", "", float, double) {
  for (const MapShape& shape : kShapes) {
    for (const auto& [kind, form] : variants()) {
      CAPTURE(shape.n, shape.h, shape.w, shape.c, int(kind.kind), kind.invert, int(form.bound), form.shift_first);
      const Values values{shape};
      // A few roundings per element. The sums over an image cancel in part: what they are added to has the size of a
      // sum that does not, so that it is their rounding that counts.
      const std::vector<double> before(shape.n, std::sqrt(double(shape.image_size())));
      check_gpu(
          [&](auto backend) {
            using Z = Real<TestType, decltype(backend)>;
            auto bits = put(backend, test_bits(shape));
            const Mask mask = with_bits(kind, bits.data());
            auto z = put(backend, as<Z>(values.z));
            auto st = put(backend, values.st), scaling_factor = put(backend, values.scaling_factor);
            const auto* scaling = form.bound == ScaleBound::kLearnedTanh ? scaling_factor.data() : nullptr;
            auto out = blank<Z>(backend, shape.size()), back = blank<Z>(backend, shape.size());
            auto up = put(backend, before), down = put(backend, before);
            affine_coupling_forward(out.data(), up.data(), z.data(), st.data(), scaling, shape, mask, form, backend);
            affine_coupling_inverse(back.data(), down.data(), z.data(), st.data(), scaling, shape, mask, form, backend);
            return outputs(out.host(), up.host(), back.host(), down.host());
          },
          sizeof(TestType) == 4 ? 3e-6 : 1e-13);
    }
  }
}

TEMPLATE_TEST_CASE("gpu affine coupling gradients agree with the reference", "", float, double) {
  for (const MapShape& shape : kShapes) {
    for (const auto& [kind, form] : variants()) {
      for (GradMode mode : kGradModes) {
        CAPTURE(shape.n, shape.h, shape.w, shape.c, int(kind.kind), kind.invert, int(form.bound), form.shift_first,
                int(mode));
        const Values values{shape};
        // A few roundings per element (dst and dscaling_factor are float in any case); dscaling_factor is a sum that
        // cancels in part.
        check_gpu(
            [&](auto backend) {
              using Z = Real<TestType, decltype(backend)>;
              auto bits = put(backend, test_bits(shape));
              const Mask mask = with_bits(kind, bits.data());
              const bool learned = form.bound == ScaleBound::kLearnedTanh;
              auto z = put(backend, as<Z>(values.z)), dz_out = put(backend, as<Z>(values.dz_out));
              auto st = put(backend, values.st), scaling_factor = put(backend, values.scaling_factor);
              auto dlogdet = put(backend, values.dlogdet);
              const bool add = mode == GradMode::kAccumulate;
              auto dz = add ? put(backend, as<Z>(values.z)) : blank<Z>(backend, shape.size());
              auto dst = add ? put(backend, values.st) : blank<float>(backend, 2 * shape.size());
              auto dscaling_factor =
                  add || !learned ? put(backend, values.scaling_factor) : blank<float>(backend, shape.c);
              affine_coupling_backward(dz.grad(mode), dst.grad(mode),
                                       learned ? dscaling_factor.grad(mode) : Grad<float>{}, dz_out.data(),
                                       dlogdet.data(), z.data(), st.data(), learned ? scaling_factor.data() : nullptr,
                                       shape, mask, form, backend);
              return outputs(dz.host(), dst.host(), dscaling_factor.host());
            },
            1e-5);
      }
    }
  }
}

template <class T>
double norm(const std::vector<T>& values) {
  return std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0));
}

TEMPLATE_TEST_CASE("gpu affine_coupling_inverse undoes affine_coupling_forward, in place too", "", float, double) {
  for (const MapShape& shape : {MapShape{1, 1, 1, 1}, {3, 7, 1, 3}, {3, 9, 7, 2}, {1, 1, 3, 257}}) {
    for (const auto& [kind, form] : variants()) {
      CAPTURE(shape.n, shape.h, shape.w, shape.c, int(kind.kind), kind.invert, int(form.bound), form.shift_first);
      const Values values{shape};
      const DeviceArray<float> st(values.st), scaling_factor(values.scaling_factor);
      const DeviceArray<std::uint32_t> bits(test_bits(shape));
      const Mask mask = with_bits(kind, bits.data());
      const float* const scaling = form.bound == ScaleBound::kLearnedTanh ? scaling_factor.data() : nullptr;
      const auto x = random_normal<TestType>(shape.size(), 6);
      const TestGpu gpu = test_stream();
      DeviceArray<TestType> z(x), out(x.size()), back(x.size());
      DeviceArray<double> logdet(std::vector<double>(shape.n, 2.5)), ignored(std::vector<double>(shape.n));
      affine_coupling_forward(out.data(), logdet.data(), z.data(), st.data(), scaling, shape, mask, form, gpu);
      affine_coupling_inverse(back.data(), logdet.data(), out.data(), st.data(), scaling, shape, mask, form, gpu);
      // A product with exp(s) and one with exp(-s), an addition and its inverse: a few roundings each, of numbers of
      // the size of z and t, so where z is small beside t they are more of it. Where t comes last its rounding is
      // multiplied by exp(-s): without a bound, by e^3 where a normal is -3.
      const double larger = (norm(x) + norm(values.st)) / norm(x), more = form.shift_first ? larger : 10 * larger;
      CHECK(relative_error(back.host(), x) < more * (sizeof(TestType) == 4 ? 5e-7 : 5e-15));
      CHECK(relative_error(logdet.host(), std::vector<double>(shape.n, 2.5)) < 1e-14);  // the same sum, minus

      affine_coupling_forward(z.data(), ignored.data(), z.data(), st.data(), scaling, shape, mask, form, gpu);
      CHECK(same_bits(z.host(), out.host()));
      affine_coupling_inverse(z.data(), nullptr, z.data(), st.data(), scaling, shape, mask, form, gpu);
      CHECK(same_bits(z.host(), back.host()));
    }
  }
}

TEST_CASE("the masked half of a gpu coupling is a copy of bits, whatever they are") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const MapShape shape{1, 1, 10, 1};
  const std::vector<float> z{1, -0.0f, 1, nan, 1, inf, 1, 1e-45f, 1, -inf};
  const DeviceArray<float> in(z), st(random_normal<float>(20, 1)), scaling_factor(std::vector<float>{0});
  const Mask mask{MaskKind::kCheckerboard, false};
  DeviceArray<float> forward(10), inverse(10), dz(10);
  DeviceArray<double> logdet(std::vector<double>{0});
  affine_coupling_forward(forward.data(), logdet.data(), in.data(), st.data(), scaling_factor.data(), shape, mask,
                          AffineForm{}, test_stream());
  affine_coupling_inverse(inverse.data(), logdet.data(), in.data(), st.data(), scaling_factor.data(), shape, mask,
                          AffineForm{}, test_stream());
  affine_coupling_backward(dz.grad(), Grad<float>{}, Grad<float>{}, in.data(), logdet.data(), in.data(), st.data(),
                           scaling_factor.data(), shape, mask, AffineForm{}, test_stream());
  CHECK(std::isfinite(logdet.host()[0]));
  for (const auto& out : {forward.host(), inverse.host(), dz.host()}) {
    for (int i = 1; i < 10; i += 2) CHECK(std::memcmp(&out[i], &z[i], sizeof(float)) == 0);
  }
}

TEST_CASE("a NaN stays in its image, and a huge scale is bounded, on the gpu") {
  const MapShape shape{3, 1, 1, 1};
  const DeviceArray<float> z(std::vector<float>{1, 1, 1}), st(std::vector<float>{1e30f, 0, -1e30f, 0, NAN, 0});
  const DeviceArray<float> scaling_factor(std::vector<float>{0.5f});
  DeviceArray<float> z_out(3);
  DeviceArray<double> logdet(std::vector<double>(3));
  affine_coupling_forward(z_out.data(), logdet.data(), z.data(), st.data(), scaling_factor.data(), shape, kMasks[0],
                          AffineForm{}, test_stream());
  CHECK(logdet.host()[0] == Approx(std::exp(0.5)));
  CHECK(logdet.host()[1] == Approx(-std::exp(0.5)));
  CHECK(std::isnan(logdet.host()[2]));
  CHECK(std::isfinite(z_out.host()[1]));
  CHECK(std::isnan(z_out.host()[2]));
}

TEST_CASE(
    "with a bound everything is finite on the gpu at 0 and +-1e4, and without one the log-scale is what it is told") {
  std::vector<float> values, both;
  for (const float s_raw : {0.0f, 1e4f, -1e4f}) {
    for (const float t : {0.0f, 1e4f, -1e4f}) {
      for (const float z : {0.0f, 1e4f, -1e4f}) {
        values.push_back(z);
        both.insert(both.end(), {s_raw, t});
      }
    }
  }
  const MapShape shape{int(values.size()), 1, 1, 1};
  const DeviceArray<float> z(values), st(both), scaling_factor(std::vector<float>{0.5f});
  const DeviceArray<double> dlogdet(std::vector<double>(values.size(), 1));
  for (const AffineForm& form : kForms) {
    const bool learned = form.bound == ScaleBound::kLearnedTanh;
    const float* const scaling = learned ? scaling_factor.data() : nullptr;
    DeviceArray<float> z_out(values.size()), dz(values.size()), dst(both.size()), dscaling(std::vector<float>{0});
    DeviceArray<double> logdet(std::vector<double>(values.size()));
    affine_coupling_forward(z_out.data(), logdet.data(), z.data(), st.data(), scaling, shape, {}, form, test_stream());
    affine_coupling_backward(dz.grad(), dst.grad(), learned ? dscaling.grad() : Grad<float>{}, z.data(), dlogdet.data(),
                             z.data(), st.data(), scaling, shape, {}, form, test_stream());
    const double cap = largest_log_scale(form.bound, std::exp(0.5));
    for (const double s : logdet.host()) CHECK((std::isfinite(s) && s <= cap * (1 + 1e-6)));  // a rounding of a float
    if (form.bound == ScaleBound::kNone) continue;
    for (const auto& out : outputs(z_out.host(), dz.host(), dst.host(), dscaling.host())) {
      for (const double value : out) CHECK(std::isfinite(value));
    }
  }
}

TEST_CASE("gradients of a gpu coupling that nobody asked for change nothing else") {
  const MapShape shape{3, 5, 3, 6};
  const Values values{shape};
  const DeviceArray<float> z(values.z), st(values.st), scaling_factor(values.scaling_factor), dz_out(values.dz_out);
  const DeviceArray<double> dlogdet(values.dlogdet);
  const auto run = [&](bool with_dz, bool with_dst, bool with_dscaling) {
    DeviceArray<float> dz(values.z), dst(values.st), dscaling(values.scaling_factor);
    affine_coupling_backward(with_dz ? dz.grad() : Grad<float>{}, with_dst ? dst.grad() : Grad<float>{},
                             with_dscaling ? dscaling.grad() : Grad<float>{}, dz_out.data(), dlogdet.data(), z.data(),
                             st.data(), scaling_factor.data(), shape, kMasks[1], AffineForm{}, test_stream());
    return outputs(dz.host(), dst.host(), dscaling.host());
  };
  const Outputs all = run(true, true, true), none = run(false, false, false);
  CHECK(same_bits(none[0], as<double>(values.z)));
  CHECK(same_bits(none[1], as<double>(values.st)));
  CHECK(same_bits(none[2], as<double>(values.scaling_factor)));
  for (int which = 0; which < 3; ++which) {
    const Outputs one = run(which == 0, which == 1, which == 2);
    for (int i = 0; i < 3; ++i) CHECK(same_bits(one[i], i == which ? all[i] : none[i]));
  }
}

TEST_CASE("a gpu coupling's gradient may be written over the one that it comes from") {
  const MapShape shape{3, 9, 7, 6};
  const Values values{shape};
  const DeviceArray<float> z(values.z), st(values.st), scaling_factor(values.scaling_factor);
  const DeviceArray<double> dlogdet(values.dlogdet);
  const DeviceArray<std::uint32_t> bits(test_bits(shape));
  for (Mask mask : kMasks) {
    mask = with_bits(mask, bits.data());
    DeviceArray<float> from(values.dz_out), dz(values.z), dst(values.st), dscaling(values.scaling_factor);
    const auto run = [&](DeviceArray<float>& to) {
      affine_coupling_backward(to.grad(), dst.grad(), dscaling.grad(), from.data(), dlogdet.data(), z.data(), st.data(),
                               scaling_factor.data(), shape, mask, AffineForm{}, test_stream());
      return outputs(to.host(), dst.host(), dscaling.host());
    };
    const Outputs apart = run(dz);
    const Outputs in_place = run(from);
    for (int i = 0; i < 3; ++i) CHECK(same_bits(in_place[i], apart[i]));
  }
}

TEST_CASE("a gpu coupling of no image has gradient 0") {
  const MapShape shape{0, 7, 9, 3};
  DeviceArray<float> nothing(0), dscaling_factor(std::vector<float>{1, 2, 3});
  DeviceArray<double> nothing64(0);
  const DeviceArray<float> scaling_factor(std::vector<float>(3));
  const TestGpu gpu = test_stream();
  affine_coupling_forward(nothing.data(), nothing64.data(), nothing.data(), nothing.data(), scaling_factor.data(),
                          shape, kMasks[0], AffineForm{}, gpu);
  affine_coupling_inverse(nothing.data(), nothing64.data(), nothing.data(), nothing.data(), scaling_factor.data(),
                          shape, kMasks[0], AffineForm{}, gpu);
  const auto backward = [&](GradMode mode) {
    affine_coupling_backward(nothing.grad(), nothing.grad(), dscaling_factor.grad(mode), nothing.data(),
                             nothing64.data(), nothing.data(), nothing.data(), scaling_factor.data(), shape, kMasks[0],
                             AffineForm{}, gpu);
  };
  backward(GradMode::kAccumulate);
  CHECK(dscaling_factor.host() == std::vector<float>{1, 2, 3});
  backward(GradMode::kOverwrite);
  CHECK(dscaling_factor.host() == std::vector<float>{0, 0, 0});
}

}  // namespace
}  // namespace flowsmith::core::testing
