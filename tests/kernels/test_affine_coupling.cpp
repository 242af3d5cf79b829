// Affine coupling in all its forms: worked examples, the exact round trip, logdet against the Jacobian, gradients, and
// the threaded version against the plain one.
#include "kernels/affine_coupling.h"
#include "tests/support/forms.h"
#include "tests/support/jacobian.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/masks.h"
#include "tests/support/simd_targets.h"

namespace flowsmith::core::testing {
namespace {

TEST_CASE("affine_coupling_forward transforms where the mask is 0 and copies where it is 1") {
  const std::vector<double> z{0.5, 7.0}, st{0.6, 0.3, 100.0, 100.0}, scaling_factor{0.2};
  // Evaluated apart from this code: s from 0.6, then (0.5 + 0.3) e^s or 0.5 e^s + 0.3.
  const struct {
    AffineForm form;
    double s, z_out;
  } kExamples[] = {{{ScaleBound::kNone, true}, 0.6, 1.4576950403124072},
                   {{ScaleBound::kNone, false}, 0.6, 1.2110594001952544},
                   {{ScaleBound::kTanh, true}, 0.5370495669980353, 1.3687610884271155},
                   {{ScaleBound::kTanh, false}, 0.5370495669980353, 1.1554756802669472},
                   {{ScaleBound::kLearnedTanh, true}, 0.5559810982005652, 1.3949206708558535},
                   {{ScaleBound::kLearnedTanh, false}, 0.5559810982005652, 1.1718254192849085},
                   {{ScaleBound::kSigmoid, true, 0.75f}, 0.46263860919607, 1.2706074051184846},
                   {{ScaleBound::kSigmoid, false, 0.75f}, 0.46263860919607, 1.0941296281990527}};
  for (const auto& example : kExamples) {
    std::vector<double> z_out(2), logdet{1.0};
    affine_coupling_forward(z_out.data(), logdet.data(), z.data(), st.data(),
                            scaling_or_null(example.form, scaling_factor), {1, 1, 2, 1},
                            Mask{MaskKind::kCheckerboard, false}, example.form, Reference{});
    CHECK(z_out[0] == Approx(example.z_out).epsilon(1e-14));
    CHECK(z_out[1] == 7.0);
    CHECK(logdet[0] == Approx(1 + example.s).epsilon(1e-14));
  }
}

/// Runs both directions on random values. The error of z is relative to its own size.
template <class Z, class S, class Backend>
void check_round_trip(MapShape shape, Mask mask, AffineForm form, double bound, Backend backend) {
  const auto z = random_normal<Z>(shape.size(), 1);
  const auto st = random_normal<S>(2 * shape.size(), 2);
  const auto scaling = random_normal<S>(shape.c, 3, 0.3);
  const S* const scaling_factor = scaling_or_null(form, scaling);
  std::vector<Z> z_out(z.size()), back(z.size());
  std::vector<double> logdet(shape.n, 2.5);
  affine_coupling_forward(z_out.data(), logdet.data(), z.data(), st.data(), scaling_factor, shape, mask, form, backend);
  for (double value : logdet) CHECK(std::isfinite(value));
  std::vector<Z> in_place = z_out;
  affine_coupling_inverse(back.data(), logdet.data(), z_out.data(), st.data(), scaling_factor, shape, mask, form,
                          backend);
  CHECK(relative_error(back, z) < bound);
  CHECK(relative_error(logdet, std::vector<double>(shape.n, 2.5)) < 1e-12);  // the same sums in double, minus

  // Without logdet and in place: the same bits.
  affine_coupling_inverse(in_place.data(), nullptr, in_place.data(), st.data(), scaling_factor, shape, mask, form,
                          backend);
  CHECK(same_bits(in_place, back));
  in_place = z;
  affine_coupling_forward(in_place.data(), logdet.data(), in_place.data(), st.data(), scaling_factor, shape, mask, form,
                          backend);
  CHECK(same_bits(in_place, z_out));

  for (std::size_t i = 0; i < z.size(); ++i) {
    const std::size_t p = i / shape.c;
    const int x = int(p % shape.w), y = int(p / shape.w % shape.h);
    if (mask_value(mask, y, x, int(i % shape.c), shape) && z_out[i] != z[i]) FAIL("masked element changed: " << i);
  }
}

TEST_CASE("affine_coupling_inverse undoes affine_coupling_forward") {
  for (MapShape shape : {MapShape{1, 1, 1, 1}, {3, 31, 1, 3}, {31, 2, 3, 2}, {1, 1, 3, 257}}) {
    const std::vector<std::uint32_t> bits = test_bits(shape);
    for (Mask mask : kMasks) {
      mask = with_bits(mask, bits.data());
      for (const AffineForm form : kForms) {
        // A product with exp(s) and one with exp(-s), an addition and its inverse: a few roundings each. Where t comes
        // last its rounding is multiplied by exp(-s): without a bound, by e^3 where a normal is -3.
        const double more = form.shift_first ? 1 : 10;
        check_round_trip<double, double>(shape, mask, form, more * 1e-14, Reference{});
        check_round_trip<double, float>(shape, mask, form, more * 1e-14, Reference{});
        check_round_trip<double, float>(shape, mask, form, more * 1e-14, Cpu{});
        check_round_trip<float, float>(shape, mask, form, more * 1e-6, Reference{});
        check_round_trip<float, float>(shape, mask, form, more * 1e-6, Cpu{});
      }
    }
  }
}

TEST_CASE("the masked part of a coupling is a copy of bits, whatever they are") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const float special[] = {-0.0f, nan, inf, 1e-45f, -inf, -nan};
  const MapShape shape{1, 3, 5, 4};
  const std::vector<std::uint32_t> bits = test_bits(shape);
  const auto st = random_normal<float>(2 * shape.size(), 1);
  const std::vector<float> scaling(shape.c);
  for (Mask mask : kMasks) {
    mask = with_bits(mask, bits.data());
    std::vector<float> z(shape.size(), 1);
    std::vector<std::size_t> masked;
    for (std::size_t i = 0; i < z.size(); ++i) {
      const int k = int(i % 4), x = int(i / 4 % 5), y = int(i / 20);
      if (!mask_value(mask, y, x, k, shape)) continue;
      z[i] = special[masked.size() % 6];
      masked.push_back(i);
    }
    REQUIRE(masked.size() > 6);
    for (const AffineForm form : kForms) {
      const auto run = [&](auto backend) {
        const float* const scaling_factor = scaling_or_null(form, scaling);
        std::vector<float> up(z.size()), down(z.size()), dz(z.size());
        std::vector<double> logdet(1);
        affine_coupling_forward(up.data(), logdet.data(), z.data(), st.data(), scaling_factor, shape, mask, form,
                                backend);
        affine_coupling_inverse(down.data(), logdet.data(), z.data(), st.data(), scaling_factor, shape, mask, form,
                                backend);
        affine_coupling_backward(Grad<float>{dz.data()}, Grad<float>{}, Grad<float>{}, z.data(), logdet.data(),
                                 z.data(), st.data(), scaling_factor, shape, mask, form, backend);
        CHECK(std::isfinite(logdet[0]));
        for (const auto* const out : {&up, &down, &dz}) {
          for (const std::size_t i : masked) CHECK(std::memcmp(&(*out)[i], &z[i], sizeof(float)) == 0);
        }
      };
      run(Reference{});
      run(Cpu{});
    }
  }
}

TEST_CASE("the largest log-scale is that of the bound") {
  CHECK(std::isinf(largest_log_scale(ScaleBound::kNone)));
  CHECK(largest_log_scale(ScaleBound::kTanh) == 1);
  CHECK(largest_log_scale(ScaleBound::kLearnedTanh, 1.75) == 1.75);
  CHECK(largest_log_scale(ScaleBound::kSigmoid) == std::log(2.0));
}

/// Values and gradients of one element per (s_raw, t, z), each in an image of its own.
template <class Z, class Backend>
Outputs at_extremes(AffineForm form, Backend backend) {
  std::vector<Z> z;
  std::vector<float> st;
  for (const float s_raw : {0.0f, 1e4f, -1e4f}) {
    for (const float t : {0.0f, 1e4f, -1e4f}) {
      for (const float at : {0.0f, 1e4f, -1e4f}) {
        z.push_back(at);
        st.insert(st.end(), {s_raw, t});
      }
    }
  }
  const MapShape shape{int(z.size()), 1, 1, 1};
  const std::vector<float> scaling{0.5f};
  const float* const scaling_factor = scaling_or_null(form, scaling);
  const std::vector<Z> dz_out(z.size(), 1);
  const std::vector<double> dlogdet(z.size(), 1);
  std::vector<Z> z_out(z.size()), back(z.size()), dz(z.size());
  std::vector<float> dst(st.size()), dscaling(1);
  std::vector<double> logdet(z.size());
  affine_coupling_forward(z_out.data(), logdet.data(), z.data(), st.data(), scaling_factor, shape, {}, form, backend);
  affine_coupling_backward(Grad<Z>{dz.data()}, Grad<float>{dst.data()},
                           Grad<float>{scaling_factor ? dscaling.data() : nullptr}, dz_out.data(), dlogdet.data(),
                           z.data(), st.data(), scaling_factor, shape, {}, form, backend);
  affine_coupling_inverse(back.data(), nullptr, z.data(), st.data(), scaling_factor, shape, {}, form, backend);
  return outputs(z_out, logdet, dz, dst, dscaling, back);
}

TEMPLATE_TEST_CASE("with a bound everything stays finite and below it at 0 and +-1e4", "", float, double) {
  for (const AffineForm form : kForms) {
    if (form.bound == ScaleBound::kNone) continue;
    const auto check = [&](auto backend) {
      const Outputs all = at_extremes<TestType>(form, backend);
      const bool both_ways = form.bound != ScaleBound::kSigmoid;  // its inverse expands without a cap
      for (std::size_t i = 0; i < all.size() - !both_ways; ++i) {
        for (const double value : all[i]) CHECK(std::isfinite(value));
      }
      const double cap = largest_log_scale(form.bound, std::exp(0.5));
      for (const double s : all[1]) CHECK(s <= cap * (1 + 1e-6));  // a rounding of a float
    };
    check(Reference{});
    for_each_simd_target([&] { check(Cpu{}); });
  }
}

TEST_CASE("without a bound the cpu coupling overflows and vanishes where the reference does") {
  // exp(88.5) = 2.7e38 is still a float, exp(89) is none; exp(-90) is subnormal, exp(-200) is 0.
  const std::vector<float> s_raw{0, 1, 86.5f, 88.5f, 89, 1e4f, -1, -86.5f, -90, -200, -1e4f};
  const MapShape shape{1, 1, int(s_raw.size()), 1};
  const std::vector<float> z(s_raw.size(), 1);
  std::vector<float> st;
  for (const float s : s_raw) st.insert(st.end(), {s, 0.0f});
  const std::vector<std::uint32_t> nothing_masked(1);
  const Mask mask{MaskKind::kList, false, nothing_masked.data()};
  for (const AffineForm form : {AffineForm{ScaleBound::kNone, false}, {ScaleBound::kSigmoid, false, 0.5f}}) {
    const auto run = [&](auto backend) {
      std::vector<float> up(z.size()), down(z.size());
      std::vector<double> logdet(1), minus(1);
      affine_coupling_forward(up.data(), logdet.data(), z.data(), st.data(), static_cast<const float*>(nullptr), shape,
                              mask, form, backend);
      affine_coupling_inverse(down.data(), minus.data(), z.data(), st.data(), static_cast<const float*>(nullptr), shape,
                              mask, form, backend);
      return outputs(up, down, logdet, minus);
    };
    const Outputs want = run(Reference{});
    for_each_simd_target([&] {
      const Outputs got = run(Cpu{});
      for (std::size_t o = 0; o < want.size(); ++o) {
        for (std::size_t i = 0; i < want[o].size(); ++i) {
          // A float exponent near 88 is rounded by 4e-6; beyond e^87 both use the same exp.
          if (std::isinf(want[o][i])) {
            CHECK(got[o][i] == want[o][i]);
          } else {
            CHECK(got[o][i] == Approx(want[o][i]).epsilon(1e-5).margin(0));
          }
        }
      }
    });
  }
}

TEST_CASE("the scale is bounded by exp(scaling_factor), and a NaN stays in its image") {
  const MapShape shape{3, 1, 1, 1};
  const std::vector<float> z{1, 1, 1}, st{1e30f, 0, -1e30f, 0, NAN, 0};
  const float scaling_factor = 0.5f;
  std::vector<float> z_out(3);
  std::vector<double> logdet(3);
  affine_coupling_forward(z_out.data(), logdet.data(), z.data(), st.data(), &scaling_factor, shape, kMasks[0],
                          AffineForm{}, Cpu{});
  CHECK(logdet[0] == Approx(std::exp(0.5)));
  CHECK(logdet[1] == Approx(-std::exp(0.5)));
  CHECK(std::isnan(logdet[2]));
  CHECK(std::isfinite(z_out[1]));
  CHECK(std::isnan(z_out[2]));
}

/// A smooth stand-in for the conditioner network: st from the masked half of z alone.
std::vector<double> conditioner(const std::vector<double>& z, MapShape shape, Mask mask) {
  std::vector<double> seen(z.size()), st(2 * z.size());
  conditioner_input_forward(seen.data(), z.data(), nullptr, 0, kGreyLevels, shape, mask, Reference{});
  for (std::size_t i = 0; i < st.size(); ++i) {
    for (std::size_t j = 0; j < seen.size(); ++j) st[i] += seen[j] * std::sin(double(3 * i + 5 * j));
    st[i] = std::sin(st[i] + double(i));
  }
  return st;
}

TEST_CASE("affine coupling logdet is the log-determinant of the Jacobian, in both directions") {
  const MapShape shape{1, 3, 2, 3};
  const auto z = random_normal<double>(shape.size(), 1);
  const auto scaling = random_normal<double>(shape.c, 3, 0.3);
  const std::vector<std::uint32_t> bits = test_bits(shape);
  for (Mask mask : kMasks) {
    mask = with_bits(mask, bits.data());
    for (const AffineForm form : kForms) {
      const double* const scaling_factor = scaling_or_null(form, scaling);
      double logdet = 0;
      const auto forward = [&](const std::vector<double>& at) {
        std::vector<double> out(at.size());
        logdet = 0;
        affine_coupling_forward(out.data(), &logdet, at.data(), conditioner(at, shape, mask).data(), scaling_factor,
                                shape, mask, form, Reference{});
        return out;
      };
      const auto inverse = [&](const std::vector<double>& at) {
        std::vector<double> out(at.size());
        logdet = 0;
        affine_coupling_inverse(out.data(), &logdet, at.data(), conditioner(at, shape, mask).data(), scaling_factor,
                                shape, mask, form, Reference{});
        return out;
      };
      const double by_forward = log_abs_det_jacobian(forward, z);
      forward(z);
      CHECK(std::abs(logdet - by_forward) < kLogDetError);
      const double by_inverse = log_abs_det_jacobian(inverse, z);
      inverse(z);
      CHECK(std::abs(logdet - by_inverse) < kLogDetError);
    }
  }
}

TEST_CASE("affine coupling gradients") {
  for (MapShape shape : {MapShape{1, 1, 1, 1}, {3, 3, 1, 3}, {1, 1, 31, 2}}) {
    const std::vector<std::uint32_t> bits = test_bits(shape);
    for (Mask mask : kMasks) {
      mask = with_bits(mask, bits.data());
      const auto dz_out = random_normal<double>(shape.size(), 4), dlogdet = random_normal<double>(shape.n, 5);
      for (const AffineForm form : kForms) {
        const bool learned = form.bound == ScaleBound::kLearnedTanh;
        Inputs inputs{random_normal<double>(shape.size(), 1), random_normal<double>(2 * shape.size(), 2)};
        if (learned) inputs.push_back(random_normal<double>(shape.c, 3, 0.3));
        check_gradients(
            inputs,
            [&](const Inputs& in) {
              std::vector<double> z_out(shape.size()), logdet(shape.n);
              affine_coupling_forward(z_out.data(), logdet.data(), in[0].data(), in[1].data(),
                                      learned ? in[2].data() : nullptr, shape, mask, form, Reference{});
              return dot(z_out, dz_out) + dot(logdet, dlogdet);
            },
            [&](const Inputs& in, const Gradients& gradients) {
              affine_coupling_backward(gradients[0], gradients[1], learned ? gradients[2] : Grad<double>{},
                                       dz_out.data(), dlogdet.data(), in[0].data(), in[1].data(),
                                       learned ? in[2].data() : nullptr, shape, mask, form, Reference{});
            });
      }
    }
  }
}

/// In double the same formula for every element; only sums have another order. Floats go through tanh and exp of our
/// own, off by a few roundings of 6e-8; logdet adds such numbers of both signs.
template <class Z>
constexpr double kCpuBound = std::is_same_v<Z, float> ? 2e-6 : 1e-12;

/// In double the same terms, and a gradient is rounded to float once. In float dscaling_factor adds differences of
/// terms that nearly agree, and of both signs: what is left may be a hundredth of them, with their roundings.
template <class Z>
constexpr double kCpuGradientBound = std::is_same_v<Z, float> ? 2e-5 : 1e-6;

template <class TestType>
void check_cpu_coupling(MapShape shape, Mask mask, AffineForm form) {
  const auto z = random_normal<TestType>(shape.size(), 1), dz_out = random_normal<TestType>(shape.size(), 6);
  const auto st = random_normal<float>(2 * shape.size(), 2), scaling = random_normal<float>(shape.c, 3, 0.3);
  const auto dlogdet = random_normal<double>(shape.n, 7);
  const float* const scaling_factor = scaling_or_null(form, scaling);
  const auto both_ways = [&](auto backend) {
    std::vector<TestType> z_out(z.size()), back(z.size());
    std::vector<double> up(shape.n, 0.5), down(shape.n, 0.5);
    affine_coupling_forward(z_out.data(), up.data(), z.data(), st.data(), scaling_factor, shape, mask, form, backend);
    affine_coupling_inverse(back.data(), down.data(), z.data(), st.data(), scaling_factor, shape, mask, form, backend);
    return outputs(z_out, up, back, down);
  };
  check_cpu(both_ways, kCpuBound<TestType>);
  for (GradMode mode : kGradModes) {
    const auto backward = [&](auto backend) {
      auto dz = random_normal<TestType>(z.size(), 8);
      auto dst = random_normal<float>(st.size(), 9), dscaling = random_normal<float>(shape.c, 10);
      affine_coupling_backward(Grad<TestType>{dz.data(), mode}, Grad<float>{dst.data(), mode},
                               scaling_factor == nullptr ? Grad<float>{} : Grad<float>{dscaling.data(), mode},
                               dz_out.data(), dlogdet.data(), z.data(), st.data(), scaling_factor, shape, mask, form,
                               backend);
      return outputs(dz, dst, dscaling);
    };
    check_cpu(backward, kCpuGradientBound<TestType>);
  }
}

TEMPLATE_TEST_CASE("cpu affine coupling agrees with the reference", "", float, double) {
  for_each_simd_target([] {
    for (MapShape shape : {MapShape{1, 1, 1, 1}, {3, 31, 1, 3}, {31, 3, 1, 2}, {257, 9, 8, 1}, {3, 31, 31, 7}}) {
      const std::vector<std::uint32_t> bits = test_bits(shape);
      for (Mask mask : kMasks) check_cpu_coupling<TestType>(shape, with_bits(mask, bits.data()), AffineForm{});
      for (const AffineForm form : kForms) check_cpu_coupling<TestType>(shape, kMasks[1], form);
    }
  });
}

TEST_CASE("a bound beyond the exponentials of floats is none for the cpu coupling") {
  // f = e^4.6 = 99 in the second channel, where s is 59 and 98: exp(98) is infinite, exp(-98) is not yet 0.
  const MapShape shape{1, 1, 3, 2};
  const std::vector<float> z{1, 1, 1, 1, 1, 1}, st{0.5f, 68, 0, 0, 0.5f, 400, 0, 0, 0.5f, -400, 0, 0};
  const std::vector<float> scaling_factor{0.1f, 4.6f};
  const Mask mask{MaskKind::kChannel, false};
  const auto run = [&](auto backend) {
    std::vector<float> z_out(6), back(6);
    std::vector<double> logdet(1), down(1);
    affine_coupling_forward(z_out.data(), logdet.data(), z.data(), st.data(), scaling_factor.data(), shape, mask,
                            AffineForm{}, backend);
    affine_coupling_inverse(back.data(), down.data(), z.data(), st.data(), scaling_factor.data(), shape, mask,
                            AffineForm{}, backend);
    return outputs(z_out, back, logdet, down);
  };
  CHECK(run(Cpu{}) == run(Reference{}));
  CHECK(std::isinf(run(Cpu{})[0][3]));
}

TEMPLATE_TEST_CASE("affine_coupling_backward may write dz over dz_out", "", float, double) {
  const MapShape shape{3, 9, 8, 3};
  const auto z = random_normal<TestType>(shape.size(), 1), dz_out = random_normal<TestType>(shape.size(), 6);
  const auto st = random_normal<float>(2 * shape.size(), 2), scaling_factor = random_normal<float>(shape.c, 3, 0.3);
  const auto dlogdet = random_normal<double>(shape.n, 7);
  for (const AffineForm form : kForms) {
    const Mask mask = kMasks[1];
    const auto run = [&](bool in_place, auto backend) {
      std::vector<TestType> from = dz_out, dz(z.size());
      std::vector<float> dst(st.size()), dscaling(shape.c);
      affine_coupling_backward(Grad<TestType>{in_place ? from.data() : dz.data()}, Grad<float>{dst.data()},
                               Grad<float>{form.bound == ScaleBound::kLearnedTanh ? dscaling.data() : nullptr},
                               from.data(), dlogdet.data(), z.data(), st.data(), scaling_or_null(form, scaling_factor),
                               shape, mask, form, backend);
      return outputs(in_place ? from : dz, dst, dscaling);
    };
    CHECK(run(true, Reference{}) == run(false, Reference{}));
    CHECK(run(true, Cpu{}) == run(false, Cpu{}));
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
