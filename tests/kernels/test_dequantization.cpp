// Dequantization: worked values, every pixel recovered, extremes, logdets against the Jacobian,
// gradients, and the threaded version against the plain one.
#include "kernels/dequantization.h"
#include "tests/support/jacobian.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

constexpr double kNoAlpha = 0;

TEST_CASE("dequantize_forward gives the values of its formula") {
  const std::vector<std::uint8_t> image{0, 200, 255};
  const std::vector<double> u{0.25, 0.75, 0.9};
  std::vector<double> z(3), logdet{0, 0, 10};
  dequantize_forward(z.data(), logdet.data(), image.data(), u.data(), 3, 1, Dequantizer{}, Reference{});
  // Evaluated apart from this code; log p loses up to four digits where p is near 1.
  const double want_z[] = {-6.925392782568893, 1.2901752211779818, 7.8346579393600795};
  const double want_logdet[] = {1.3821694075847635, -3.7687707922123925, 12.2902618935753596};
  for (int i = 0; i < 3; ++i) {
    CHECK(z[i] == Approx(want_z[i]).epsilon(1e-12));
    CHECK(logdet[i] == Approx(want_logdet[i]).epsilon(1e-12));
  }
}

constexpr Dequantizer kDequantizers[] = {{}, {32, 0.05}, {2, 1e-5}};

TEST_CASE("a grey level is the upper bits of a pixel, and the pixel that shows it has it again") {
  for (int bits = 1; bits <= 8; ++bits) {
    const int levels = 1 << bits;
    REQUIRE(is_grey_level_count(levels));
    for (int x = 0; x < 256; ++x) CHECK(grey_level(std::uint8_t(x), levels) == x >> (8 - bits));
    for (int q = 0; q < levels; ++q) CHECK(grey_level(grey_value(q, levels), levels) == q);
    CHECK(grey_value(0, levels) == 0);
    CHECK(grey_value(levels - 1, levels) == 255);
  }
  for (int x = 0; x < 256; ++x) CHECK(grey_value(x, 256) == x);
  for (int levels : {-2, 0, 1, 3, 100, 255, 257, 512}) CHECK_FALSE(is_grey_level_count(levels));
}

TEST_CASE("dequantize_forward reduces pixels to the dequantizer's levels") {
  const std::vector<std::uint8_t> image{203};  // level 25 of 32
  const double u = 0.3, v = (25 + u) / 32, p = 0.025 + 0.95 * v;
  double z = 0, logdet = 0;
  dequantize_forward(&z, &logdet, image.data(), &u, 1, 1, Dequantizer{32, 0.05}, Reference{});
  CHECK(z == Approx(std::log(p / (1 - p))).epsilon(1e-14));
  CHECK(logdet == Approx(std::log(0.95 / 32 / (p * (1 - p)))).epsilon(1e-14));
  std::uint8_t back = 0;
  dequantize_inverse(&back, &z, 1, 1, Dequantizer{32, 0.05}, Reference{});
  CHECK(back == 25 * 255 / 31);
}

TEST_CASE("in double every grey level survives, whatever their number and alpha") {
  std::vector<std::uint8_t> image(256), back(256), again(256);
  for (int i = 0; i < 256; ++i) image[i] = std::uint8_t(i);
  const auto run = [&](auto backend) {
    for (int levels = 2; levels <= 256; levels *= 2) {
      for (double alpha : {0.0, 1e-5, 0.05}) {
        for (double value : {std::ldexp(1.0, -24), 0.5, 1 - std::ldexp(1.0, -24)}) {
          CAPTURE(levels, alpha, value);
          const std::vector<double> u(256, value);
          std::vector<double> z(256), logdet(1);
          const auto there_and_back = [&](const std::vector<std::uint8_t>& from, std::vector<std::uint8_t>& to) {
            dequantize_forward(z.data(), logdet.data(), from.data(), u.data(), 1, 256, {levels, alpha}, backend);
            dequantize_inverse(to.data(), z.data(), 1, 256, {levels, alpha}, backend);
          };
          there_and_back(image, back);
          for (int i = 0; i < 256; ++i) CHECK(back[i] == grey_value(grey_level(image[i], levels), levels));
          there_and_back(back, again);
          CHECK(again == back);
        }
      }
    }
  };
  run(Reference{});
  run(Cpu{});
}

TEMPLATE_TEST_CASE("dequantization that draws its noise has the bits of the two passes", "", float, double) {
  const int n = 3;
  const std::size_t per_image = 31;
  const auto image = random_bytes(n * per_image, 1);
  const std::vector<std::uint32_t> index{9, 0xffffffffu, 3};
  const NoiseStream stream{5, NoisePurpose::kValidation, 7};
  const auto run = [&](auto backend) {
    std::vector<TestType> u(n * per_image), z(u.size()), v(u.size()), noisy_z(u.size()), noisy_v(u.size());
    std::vector<double> logdet(n), noisy_logdet(n);
    uniform_noise(u.data(), index.data(), &stream, n, per_image, backend);
    dequantize_forward(z.data(), logdet.data(), image.data(), u.data(), n, per_image, Dequantizer{}, backend);
    logit_forward(v.data(), logdet.data(), u.data(), n, per_image, Dequantizer{}, backend);
    noisy_dequantize_forward(noisy_z.data(), noisy_logdet.data(), image.data(), index.data(), &stream, n, per_image,
                             Dequantizer{}, backend);
    noisy_logit_forward(noisy_v.data(), noisy_logdet.data(), index.data(), &stream, n, per_image, Dequantizer{},
                        backend);
    CHECK(same_bits(noisy_z, z));
    CHECK(same_bits(noisy_v, v));
    CHECK(same_bits(noisy_logdet, logdet));
  };
  run(Reference{});
  run(Cpu{});
}

TEST_CASE("in double every pixel value survives with every u of the open interval") {
  std::vector<std::uint8_t> image(256), back(256);
  for (int i = 0; i < 256; ++i) image[i] = std::uint8_t(i);
  const double ends[] = {std::ldexp(1.0, -32), std::ldexp(1.0, -24), 0.3, 0.5};
  for (double end : ends) {
    for (double value : {end, 1 - end}) {
      const std::vector<double> u(256, value);
      std::vector<double> z(256), logdet(1);
      const auto run = [&](auto backend) {
        dequantize_forward(z.data(), logdet.data(), image.data(), u.data(), 1, 256, Dequantizer{}, backend);
        dequantize_inverse(back.data(), z.data(), 1, 256, Dequantizer{}, backend);
        CHECK(back == image);
      };
      run(Reference{});
      run(Cpu{});
    }
  }
}

TEST_CASE("a saturated sigmoid still leaves the pixel recoverable in double") {
  const std::vector<double> v{-1e30, -100, -30, 0, 30, 100, 1e30};
  std::vector<double> u(7), z(7), logdet(1);
  const std::vector<std::uint8_t> image{0, 255, 17, 128, 255, 0, 254};
  std::vector<std::uint8_t> back(7);
  sigmoid_forward(u.data(), logdet.data(), v.data(), 1, 7, kNoAlpha, Reference{});
  CHECK(u.front() == std::ldexp(1.0, -32));
  CHECK(u.back() == 1 - std::ldexp(1.0, -32));
  CHECK(std::isfinite(logdet[0]));
  dequantize_forward(z.data(), logdet.data(), image.data(), u.data(), 1, 7, Dequantizer{}, Reference{});
  dequantize_inverse(back.data(), z.data(), 1, 7, Dequantizer{}, Reference{});
  CHECK(back == image);
}

TEMPLATE_TEST_CASE("dequantize_inverse clamps what no pixel could have given", "", float, double) {
  const auto inf = std::numeric_limits<TestType>::infinity();
  const auto nan = std::numeric_limits<TestType>::quiet_NaN();
  const std::vector<TestType> z{-inf, inf, nan, -nan, TestType(-1e30), TestType(1e30), -13, 13};
  const auto run = [&](auto backend) {
    std::vector<std::uint8_t> image(8, 99);
    dequantize_inverse(image.data(), z.data(), 1, 8, Dequantizer{}, backend);
    CHECK(image == std::vector<std::uint8_t>{0, 255, 0, 0, 0, 255, 0, 255});
  };
  run(Reference{});
  run(Cpu{});
}

TEST_CASE("in float the ends of the interval stay finite") {
  const std::vector<std::uint8_t> image{0, 0, 255, 255};
  const std::vector<float> u{0, std::ldexp(1.0f, -24), 1 - std::ldexp(1.0f, -24), 1};
  std::vector<float> z(4), du(4);
  std::vector<double> logdet(1), dlogdet(1, 1.0);
  dequantize_forward(z.data(), logdet.data(), image.data(), u.data(), 1, 4, Dequantizer{}, Cpu{});
  dequantize_backward(Grad<float>{du.data()}, z.data(), dlogdet.data(), image.data(), u.data(), 1, 4, Dequantizer{},
                      Cpu{});
  const double end = std::log(kAlpha / 2) - std::log(1 - kAlpha / 2);
  CHECK(z[0] == Approx(end).epsilon(1e-6));   // a few float roundings
  CHECK(z[3] == Approx(-end).epsilon(1e-6));  // no digits lost to 1 - p
  CHECK(std::isfinite(logdet[0]));
  for (float value : du) CHECK(std::isfinite(value));
}

TEST_CASE("in float a bright pixel is as exact as a dark one") {
  // 1 - p of pixel 255 is about 1e-5, where 1 - (255 + u) / 256 would keep three digits.
  const std::vector<std::uint8_t> image{255};
  const std::vector<float> u{0.999f};
  const std::vector<double> exact_u(u.begin(), u.end());
  float z = 0;
  double exact_z = 0, logdet = 0, exact_logdet = 0;
  dequantize_forward(&z, &logdet, image.data(), u.data(), 1, 1, Dequantizer{}, Cpu{});
  dequantize_forward(&exact_z, &exact_logdet, image.data(), exact_u.data(), 1, 1, Dequantizer{}, Reference{});
  CHECK(z == Approx(exact_z).epsilon(1e-6));  // a few float roundings
  CHECK(logdet == Approx(exact_logdet).epsilon(1e-6));
}

TEST_CASE("sigmoid_forward undoes logit_forward up to alpha") {
  const auto u = random_uniform<double>(31, 1);
  std::vector<double> v(31), back(31), logdet(1);
  logit_forward(v.data(), logdet.data(), u.data(), 1, 31, Dequantizer{}, Reference{});
  sigmoid_forward(back.data(), logdet.data(), v.data(), 1, 31, kNoAlpha, Reference{});
  std::vector<double> want;
  for (double value : u) want.push_back(kAlpha / 2 + (1 - kAlpha) * value);
  CHECK(relative_error(back, want) < 1e-14);                           // a logarithm and an exponential
  CHECK(logdet[0] == Approx(31 * std::log1p(-kAlpha)).epsilon(1e-8));  // what is left of two sums of size 100
}

TEST_CASE("sigmoid_forward with an alpha is the inverse of logit_forward with it") {
  for (const double alpha : {kAlpha, 0.05}) {
    const auto u = random_uniform<double>(31, 1);
    std::vector<double> v(31), back(31), logdet(1);
    logit_forward(v.data(), logdet.data(), u.data(), 1, 31, Dequantizer{.alpha = alpha}, Reference{});
    sigmoid_forward(back.data(), logdet.data(), v.data(), 1, 31, alpha, Reference{});
    CHECK(relative_error(back, u) < 1e-14);
    CHECK(std::abs(logdet[0]) < 1e-12);  // two sums of size 100, one minus the other
  }
}

TEST_CASE("sigmoid logdet stays exact far from 0") {
  for (double v : {-800.0, 800.0}) {
    double u = 0, logdet = 0;
    sigmoid_forward(&u, &logdet, &v, 1, 1, kNoAlpha, Reference{});
    CHECK(logdet == -800.0);
  }
}

// u and the derivatives in it are of order 1 only away from the ends: a pixel 0 with u near 0 has
// derivatives like 1/u^3, and differences with a step of 1e-5 would not resolve them.
std::vector<double> inner_uniform(std::size_t size, std::uint64_t seed) {
  return random_uniform<double>(size, seed, 0.2, 0.8);
}

TEST_CASE("logdets of the pointwise maps are those of their Jacobians") {
  const std::vector<std::uint8_t> image{0, 255, 1, 254, 100, 128, 200};
  double logdet = 0;
  const auto check = [&](const auto& map, const std::vector<double>& at) {
    const double numeric = log_abs_det_jacobian(map, at);
    logdet = 0;
    map(at);
    CHECK(std::abs(logdet - numeric) < kLogDetError);
  };
  Dequantizer dequantizer;
  const auto dequantize = [&](const std::vector<double>& u) {
    std::vector<double> z(7);
    dequantize_forward(z.data(), &logdet, image.data(), u.data(), 1, 7, dequantizer, Reference{});
    return z;
  };
  const auto to_line = [&](const std::vector<double>& u) {
    std::vector<double> v(7);
    logit_forward(v.data(), &logdet, u.data(), 1, 7, dequantizer, Reference{});
    return v;
  };
  const auto to_unit = [&](const std::vector<double>& v) {
    std::vector<double> u(7);
    sigmoid_forward(u.data(), &logdet, v.data(), 1, 7, kNoAlpha, Reference{});
    return u;
  };
  for (const Dequantizer& each : kDequantizers) {
    dequantizer = each;
    check(dequantize, inner_uniform(7, 1));
    check(to_line, inner_uniform(7, 2));
  }
  check(to_unit, random_normal<double>(7, 3));
}

TEST_CASE("dequantize and sigmoid gradients") {
  for (auto [images, size] : {std::pair{1, 1}, {3, 31}, {1, 257}}) {
    const int n = images, per_image = size;
    const auto image = random_bytes(n * per_image, 1);
    const auto dout = random_normal<double>(n * per_image, 2), dlogdet = random_normal<double>(n, 3);
    for (const Dequantizer& dequantizer : kDequantizers) {
      check_gradients(
          {inner_uniform(n * per_image, 4)},
          [&](const Inputs& in) {
            std::vector<double> z(n * per_image), logdet(n);
            dequantize_forward(z.data(), logdet.data(), image.data(), in[0].data(), n, per_image, dequantizer,
                               Reference{});
            return dot(z, dout) + dot(logdet, dlogdet);
          },
          [&](const Inputs& in, const Gradients& gradients) {
            dequantize_backward(gradients[0], dout.data(), dlogdet.data(), image.data(), in[0].data(), n, per_image,
                                dequantizer, Reference{});
          });
    }
    for (const double alpha : {kNoAlpha, 0.05}) {
      check_gradients(
          {random_normal<double>(n * per_image, 5)},
          [&](const Inputs& in) {
            std::vector<double> u(n * per_image), logdet(n);
            sigmoid_forward(u.data(), logdet.data(), in[0].data(), n, per_image, alpha, Reference{});
            return dot(u, dout) + dot(logdet, dlogdet);
          },
          [&](const Inputs& in, const Gradients& gradients) {
            sigmoid_backward(gradients[0], dout.data(), dlogdet.data(), in[0].data(), n, per_image, alpha, Reference{});
          });
    }
  }
}

TEMPLATE_TEST_CASE("cpu dequantization agrees with the reference", "", float, double) {
  for (auto [images, size] : {std::pair{1, 1}, {3, 31}, {31, 3}, {257, 257}}) {
    const int n = images, per_image = size;
    const auto image = random_bytes(n * per_image, 1);
    const auto u = random_uniform<TestType>(n * per_image, 2);
    const auto v = random_normal<TestType>(n * per_image, 3), dout = random_normal<TestType>(n * per_image, 4);
    const auto dlogdet = random_normal<double>(n, 5);
    for (const Dequantizer& dequantizer : kDequantizers) {
      const auto forward = [&](auto backend) {
        std::vector<TestType> z(u.size()), line(u.size()), unit(u.size());
        std::vector<double> logdet(n, 0.5), line_logdet(n, 0.5), unit_logdet(n, 0.5);
        std::vector<std::uint8_t> back(u.size());
        dequantize_forward(z.data(), logdet.data(), image.data(), u.data(), n, per_image, dequantizer, backend);
        dequantize_inverse(back.data(), v.data(), n, per_image, dequantizer, backend);
        logit_forward(line.data(), line_logdet.data(), u.data(), n, per_image, dequantizer, backend);
        sigmoid_forward(unit.data(), unit_logdet.data(), v.data(), n, per_image, dequantizer.alpha, backend);
        return outputs(z, logdet, back, line, line_logdet, unit, unit_logdet);
      };
      check_cpu(forward, 1e-12);  // the same formula for every element, sums in double in another order
      for (GradMode mode : kGradModes) {
        const auto backward = [&](auto backend) {
          auto du = random_normal<TestType>(u.size(), 6), dv = random_normal<TestType>(u.size(), 7);
          dequantize_backward(Grad<TestType>{du.data(), mode}, dout.data(), dlogdet.data(), image.data(), u.data(), n,
                              per_image, dequantizer, backend);
          sigmoid_backward(Grad<TestType>{dv.data(), mode}, dout.data(), dlogdet.data(), v.data(), n, per_image,
                           dequantizer.alpha, backend);
          return outputs(du, dv);
        };
        check_cpu(backward, 1e-6);  // float roundings, were the compiler to order a product otherwise
      }
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
