// Affine coupling: a worked example, the exact round trip, logdet against the Jacobian, gradients, and
// the threaded version against the plain one.
#include "kernels/coupling.h"
#include "tests/support/jacobian.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/simd_targets.h"

namespace flowsmith::testing {
namespace {

constexpr Mask kMasks[] = {{MaskKind::kCheckerboard, false},
                           {MaskKind::kCheckerboard, true},
                           {MaskKind::kChannel, false},
                           {MaskKind::kChannel, true}};

TEST_CASE("coupling_forward transforms where the mask is 0 and copies where it is 1") {
  const std::vector<double> z{0.5, 7.0}, st{0.6, 0.3, 100.0, 100.0}, scaling_factor{0.2};
  std::vector<double> z_out(2), logdet{1.0};
  const Mask mask{MaskKind::kCheckerboard, false};
  coupling_forward(z_out.data(), logdet.data(), z.data(), st.data(), scaling_factor.data(), {1, 1, 2, 1}, mask,
                   Reference{});
  // s = tanh(0.6 / exp(0.2)) * exp(0.2) and (0.5 + 0.3) * exp(s), evaluated apart from this code.
  CHECK(z_out[0] == Approx(1.3949206708558535).epsilon(1e-14));
  CHECK(z_out[1] == 7.0);
  CHECK(logdet[0] == Approx(1.5559810982005651).epsilon(1e-14));
}

/// Runs both directions on random values. The error of z is relative to its own size.
template <class Z, class S, class Backend>
void check_round_trip(MapShape shape, Mask mask, double bound, Backend backend) {
  const auto z = random_normal<Z>(shape.size(), 1);
  const auto st = random_normal<S>(2 * shape.size(), 2);
  const auto scaling_factor = random_normal<S>(shape.c, 3, 0.3);
  std::vector<Z> z_out(z.size()), back(z.size());
  std::vector<double> logdet(shape.n, 2.5);
  coupling_forward(z_out.data(), logdet.data(), z.data(), st.data(), scaling_factor.data(), shape, mask, backend);
  for (double value : logdet) CHECK(std::isfinite(value));
  std::vector<Z> in_place = z_out;
  coupling_inverse(back.data(), logdet.data(), z_out.data(), st.data(), scaling_factor.data(), shape, mask, backend);
  CHECK(relative_error(back, z) < bound);
  CHECK(relative_error(logdet, std::vector<double>(shape.n, 2.5)) < 1e-12);  // the same sums in double, minus

  // Without logdet and in place: the same bits.
  coupling_inverse(in_place.data(), nullptr, in_place.data(), st.data(), scaling_factor.data(), shape, mask, backend);
  CHECK(same_bits(in_place, back));
  in_place = z;
  coupling_forward(in_place.data(), logdet.data(), in_place.data(), st.data(), scaling_factor.data(), shape, mask,
                   backend);
  CHECK(same_bits(in_place, z_out));

  for (std::size_t i = 0; i < z.size(); ++i) {
    const std::size_t p = i / shape.c;
    const int x = int(p % shape.w), y = int(p / shape.w % shape.h);
    if (mask_value(mask, y, x, int(i % shape.c), shape.c) && z_out[i] != z[i]) FAIL("masked element changed: " << i);
  }
}

TEST_CASE("coupling_inverse undoes coupling_forward") {
  for (MapShape shape : {MapShape{1, 1, 1, 1}, {3, 31, 1, 3}, {31, 2, 3, 2}, {1, 1, 3, 257}}) {
    for (Mask mask : kMasks) {
      // A product with exp(s) and one with exp(-s), an addition and its inverse: a few roundings each.
      check_round_trip<double, double>(shape, mask, 1e-14, Reference{});
      check_round_trip<double, float>(shape, mask, 1e-14, Reference{});
      check_round_trip<double, float>(shape, mask, 1e-14, Cpu{});
      check_round_trip<float, float>(shape, mask, 1e-6, Reference{});
      check_round_trip<float, float>(shape, mask, 1e-6, Cpu{});
    }
  }
}

TEST_CASE("the masked half of a coupling is a copy of bits, whatever they are") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const MapShape shape{1, 1, 10, 1};
  const std::vector<float> z{1, -0.0f, 1, nan, 1, inf, 1, 1e-45f, 1, -inf};
  const auto st = random_normal<float>(20, 1);
  const float scaling_factor = 0;
  for (bool inverse : {false, true}) {
    const auto run = [&](auto backend) {
      std::vector<float> out(10);
      std::vector<double> logdet(1);
      const Mask mask{MaskKind::kCheckerboard, false};
      if (inverse) {
        coupling_inverse(out.data(), logdet.data(), z.data(), st.data(), &scaling_factor, shape, mask, backend);
      } else {
        coupling_forward(out.data(), logdet.data(), z.data(), st.data(), &scaling_factor, shape, mask, backend);
      }
      for (int i = 1; i < 10; i += 2) CHECK(std::memcmp(&out[i], &z[i], sizeof(float)) == 0);
    };
    run(Reference{});
    run(Cpu{});
  }
}

TEST_CASE("the scale is bounded by exp(scaling_factor), and a NaN stays in its image") {
  const MapShape shape{3, 1, 1, 1};
  const std::vector<float> z{1, 1, 1}, st{1e30f, 0, -1e30f, 0, NAN, 0};
  const float scaling_factor = 0.5f;
  std::vector<float> z_out(3);
  std::vector<double> logdet(3);
  coupling_forward(z_out.data(), logdet.data(), z.data(), st.data(), &scaling_factor, shape, kMasks[0], Cpu{});
  CHECK(logdet[0] == Approx(std::exp(0.5)));
  CHECK(logdet[1] == Approx(-std::exp(0.5)));
  CHECK(std::isnan(logdet[2]));
  CHECK(std::isfinite(z_out[1]));
  CHECK(std::isnan(z_out[2]));
}

/// A smooth stand-in for the conditioner network: st from the masked half of z alone.
std::vector<double> conditioner(const std::vector<double>& z, MapShape shape, Mask mask) {
  std::vector<double> seen(z.size()), st(2 * z.size());
  conditioner_input_forward(seen.data(), z.data(), nullptr, 0, shape, mask, Reference{});
  for (std::size_t i = 0; i < st.size(); ++i) {
    for (std::size_t j = 0; j < seen.size(); ++j) st[i] += seen[j] * std::sin(double(3 * i + 5 * j));
    st[i] = std::sin(st[i] + double(i));
  }
  return st;
}

TEST_CASE("coupling logdet is the log-determinant of the Jacobian, in both directions") {
  const MapShape shape{1, 3, 2, 3};
  const auto z = random_normal<double>(shape.size(), 1);
  const auto scaling_factor = random_normal<double>(shape.c, 3, 0.3);
  for (Mask mask : kMasks) {
    double logdet = 0;
    const auto forward = [&](const std::vector<double>& at) {
      std::vector<double> out(at.size());
      logdet = 0;
      coupling_forward(out.data(), &logdet, at.data(), conditioner(at, shape, mask).data(), scaling_factor.data(),
                       shape, mask, Reference{});
      return out;
    };
    const auto inverse = [&](const std::vector<double>& at) {
      std::vector<double> out(at.size());
      logdet = 0;
      coupling_inverse(out.data(), &logdet, at.data(), conditioner(at, shape, mask).data(), scaling_factor.data(),
                       shape, mask, Reference{});
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

TEST_CASE("coupling gradients") {
  for (MapShape shape : {MapShape{1, 1, 1, 1}, {3, 3, 1, 3}, {1, 1, 31, 2}}) {
    for (Mask mask : kMasks) {
      const auto dz_out = random_normal<double>(shape.size(), 4), dlogdet = random_normal<double>(shape.n, 5);
      check_gradients(
          {random_normal<double>(shape.size(), 1), random_normal<double>(2 * shape.size(), 2),
           random_normal<double>(shape.c, 3, 0.3)},
          [&](const Inputs& in) {
            std::vector<double> z_out(shape.size()), logdet(shape.n);
            coupling_forward(z_out.data(), logdet.data(), in[0].data(), in[1].data(), in[2].data(), shape, mask,
                             Reference{});
            return dot(z_out, dz_out) + dot(logdet, dlogdet);
          },
          [&](const Inputs& in, const Gradients& gradients) {
            coupling_backward(gradients[0], gradients[1], gradients[2], dz_out.data(), dlogdet.data(), in[0].data(),
                              in[1].data(), in[2].data(), shape, mask, Reference{});
          });
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
void check_cpu_coupling() {
  for (MapShape shape : {MapShape{1, 1, 1, 1}, {3, 31, 1, 3}, {31, 3, 1, 2}, {257, 9, 8, 1}, {3, 31, 31, 7}}) {
    for (Mask mask : kMasks) {
      const auto z = random_normal<TestType>(shape.size(), 1), dz_out = random_normal<TestType>(shape.size(), 6);
      const auto st = random_normal<float>(2 * shape.size(), 2), scaling_factor = random_normal<float>(shape.c, 3, 0.3);
      const auto dlogdet = random_normal<double>(shape.n, 7);
      const auto both_ways = [&](auto backend) {
        std::vector<TestType> z_out(z.size()), back(z.size());
        std::vector<double> up(shape.n, 0.5), down(shape.n, 0.5);
        coupling_forward(z_out.data(), up.data(), z.data(), st.data(), scaling_factor.data(), shape, mask, backend);
        coupling_inverse(back.data(), down.data(), z.data(), st.data(), scaling_factor.data(), shape, mask, backend);
        return outputs(z_out, up, back, down);
      };
      check_cpu(both_ways, kCpuBound<TestType>);
      for (GradMode mode : kGradModes) {
        const auto backward = [&](auto backend) {
          auto dz = random_normal<TestType>(z.size(), 8);
          auto dst = random_normal<float>(st.size(), 9), dscaling = random_normal<float>(shape.c, 10);
          coupling_backward(Grad<TestType>{dz.data(), mode}, Grad<float>{dst.data(), mode},
                            Grad<float>{dscaling.data(), mode}, dz_out.data(), dlogdet.data(), z.data(), st.data(),
                            scaling_factor.data(), shape, mask, backend);
          return outputs(dz, dst, dscaling);
        };
        check_cpu(backward, kCpuGradientBound<TestType>);
      }
    }
  }
}

TEMPLATE_TEST_CASE("cpu coupling agrees with the reference", "", float, double) {
  for_each_simd_target([] { check_cpu_coupling<TestType>(); });
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
    coupling_forward(z_out.data(), logdet.data(), z.data(), st.data(), scaling_factor.data(), shape, mask, backend);
    coupling_inverse(back.data(), down.data(), z.data(), st.data(), scaling_factor.data(), shape, mask, backend);
    return outputs(z_out, back, logdet, down);
  };
  CHECK(run(Cpu{}) == run(Reference{}));
  CHECK(std::isinf(run(Cpu{})[0][3]));
}

TEMPLATE_TEST_CASE("coupling_backward may write dz over dz_out", "", float, double) {
  const MapShape shape{3, 9, 8, 3};
  const auto z = random_normal<TestType>(shape.size(), 1), dz_out = random_normal<TestType>(shape.size(), 6);
  const auto st = random_normal<float>(2 * shape.size(), 2), scaling_factor = random_normal<float>(shape.c, 3, 0.3);
  const auto dlogdet = random_normal<double>(shape.n, 7);
  for (Mask mask : kMasks) {
    const auto run = [&](bool in_place, auto backend) {
      std::vector<TestType> from = dz_out, dz(z.size());
      std::vector<float> dst(st.size()), dscaling(shape.c);
      coupling_backward(Grad<TestType>{in_place ? from.data() : dz.data()}, Grad<float>{dst.data()},
                        Grad<float>{dscaling.data()}, from.data(), dlogdet.data(), z.data(), st.data(),
                        scaling_factor.data(), shape, mask, backend);
      return outputs(in_place ? from : dz, dst, dscaling);
    };
    CHECK(run(true, Reference{}) == run(false, Reference{}));
    CHECK(run(true, Cpu{}) == run(false, Cpu{}));
  }
}

}  // namespace
}  // namespace flowsmith::testing
