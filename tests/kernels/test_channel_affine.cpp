// One line per channel: a worked example, round trips, logdet against the Jacobian, gradients, the vectorised version
// against the plain one, and where actnorm begins.
#include "kernels/channel_affine.h"
#include "tests/support/jacobian.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/simd_targets.h"

namespace flowsmith::core::testing {
namespace {

/// Odd channels, several images per group of a sum, and every element as a channel of its own.
constexpr MapShape kShapes[] = {{1, 1, 1, 1},   {3, 31, 1, 3},  {31, 1, 3, 2},
                                {5, 1, 1, 257}, {17, 7, 3, 64}, {2, 9, 8, 67}};

TEST_CASE("each channel has its line, and adds its log-slope once per pixel") {
  const std::vector<double> z{1, 2, 3, 4}, log_scale{0.1, -0.2}, bias{0.5, -1};
  std::vector<double> z_out(4), logdet{10};
  channel_affine_forward(z_out.data(), logdet.data(), z.data(), log_scale.data(), bias.data(), 3, {1, 1, 2, 2},
                         Reference{});
  CHECK(z_out[0] == Approx(1.5 * std::exp(0.3)).epsilon(1e-15));
  CHECK(z_out[1] == Approx(1 * std::exp(-0.6)).epsilon(1e-15));
  CHECK(z_out[2] == Approx(3.5 * std::exp(0.3)).epsilon(1e-15));
  CHECK(z_out[3] == Approx(3 * std::exp(-0.6)).epsilon(1e-15));
  CHECK(logdet[0] == Approx(10 + 2 * (0.3 - 0.6)).epsilon(1e-14));
}

/// Both directions, then again in place and without logdet, to the same bits.
template <class Z, class S, class Backend>
void check_round_trip(MapShape shape, bool with_bias, double bound, Backend backend) {
  const auto z = random_normal<Z>(shape.size(), 1);
  const auto log_scale = random_normal<S>(shape.c, 2, 0.3), bias_values = random_normal<S>(shape.c, 3);
  const S* bias = with_bias ? bias_values.data() : nullptr;
  std::vector<Z> z_out(z.size()), back(z.size());
  std::vector<double> logdet(shape.n, 2.5);
  channel_affine_forward(z_out.data(), logdet.data(), z.data(), log_scale.data(), bias, 1.5, shape, backend);
  channel_affine_inverse(back.data(), logdet.data(), z_out.data(), log_scale.data(), bias, 1.5, shape, backend);
  CHECK(relative_error(back, z) < bound);
  CHECK(relative_error(logdet, std::vector<double>(shape.n, 2.5)) < 1e-12);  // the same sums in double, minus
  std::vector<Z> in_place = z;
  channel_affine_forward(in_place.data(), nullptr, in_place.data(), log_scale.data(), bias, 1.5, shape, backend);
  CHECK(same_bits(in_place, z_out));
  channel_affine_inverse(in_place.data(), nullptr, in_place.data(), log_scale.data(), bias, 1.5, shape, backend);
  CHECK(same_bits(in_place, back));
}

TEST_CASE("channel_affine_inverse undoes channel_affine_forward") {
  for (const MapShape shape : kShapes) {
    for (const bool with_bias : {true, false}) {
      CAPTURE(shape.n, shape.h, shape.w, shape.c, with_bias);
      // The rounding of z', which the inverse keeps relative to z + bias, and that of z.
      check_round_trip<double, double>(shape, with_bias, 1e-14, Reference{});
      check_round_trip<double, float>(shape, with_bias, 1e-14, Reference{});
      check_round_trip<double, float>(shape, with_bias, 1e-14, Cpu{});
      check_round_trip<float, float>(shape, with_bias, 1e-6, Reference{});
      check_round_trip<float, float>(shape, with_bias, 1e-6, Cpu{});
    }
  }
}

TEST_CASE("channel_affine logdet is the log-determinant of the Jacobian, in both directions") {
  const MapShape shape{1, 3, 2, 3};
  const auto z = random_normal<double>(shape.size(), 1);
  const auto log_scale = random_normal<double>(shape.c, 2, 0.3), bias = random_normal<double>(shape.c, 3);
  double logdet = 0;
  const auto forward = [&](const std::vector<double>& at) {
    std::vector<double> out(at.size());
    logdet = 0;
    channel_affine_forward(out.data(), &logdet, at.data(), log_scale.data(), bias.data(), 3, shape, Reference{});
    return out;
  };
  const auto inverse = [&](const std::vector<double>& at) {
    std::vector<double> out(at.size());
    logdet = 0;
    channel_affine_inverse(out.data(), &logdet, at.data(), log_scale.data(), bias.data(), 3, shape, Reference{});
    return out;
  };
  const double by_forward = log_abs_det_jacobian(forward, z);
  CHECK(logdet == Approx(by_forward).margin(kLogDetError));
  const double by_inverse = log_abs_det_jacobian(inverse, z);
  CHECK(logdet == Approx(by_inverse).margin(kLogDetError));
}

TEST_CASE("channel_affine gradients") {
  for (const MapShape shape : {MapShape{1, 1, 1, 1}, {3, 5, 1, 3}, {5, 1, 3, 2}, {3, 1, 1, 31}}) {
    for (const bool with_logdet : {true, false}) {
      CAPTURE(shape.n, shape.h, shape.w, shape.c, with_logdet);
      const auto dz_out = random_normal<double>(shape.size(), 1), dlogdet = random_normal<double>(shape.n, 2);
      check_gradients(
          {random_normal<double>(shape.size(), 3), random_normal<double>(shape.c, 4, 0.3),
           random_normal<double>(shape.c, 5)},
          [&](const Inputs& in) {
            std::vector<double> z_out(shape.size()), logdet(shape.n);
            channel_affine_forward(z_out.data(), with_logdet ? logdet.data() : nullptr, in[0].data(), in[1].data(),
                                   in[2].data(), 1.5, shape, Reference{});
            return dot(z_out, dz_out) + dot(logdet, dlogdet);
          },
          [&](const Inputs& in, const Gradients& gradients) {
            channel_affine_backward(gradients[0], gradients[1], gradients[2], dz_out.data(),
                                    with_logdet ? dlogdet.data() : nullptr, in[0].data(), in[1].data(), in[2].data(),
                                    1.5, shape, Reference{});
          });
    }
  }
}

TEMPLATE_TEST_CASE("cpu channel_affine agrees with the reference on every instruction set", "", float, double) {
  for (const MapShape shape : kShapes) {
    for (const bool with_bias : {true, false}) {
      for (const GradMode mode : kGradModes) {
        CAPTURE(shape.n, shape.h, shape.w, shape.c, with_bias, int(mode));
        const auto z = random_normal<TestType>(shape.size(), 1), dz_out = random_normal<TestType>(shape.size(), 2);
        const auto log_scale = random_normal<float>(shape.c, 3, 0.3), bias_values = random_normal<float>(shape.c, 4);
        const float* bias = with_bias ? bias_values.data() : nullptr;
        const auto dlogdet = random_normal<double>(shape.n, 5);
        const auto run = [&](auto backend) {
          std::vector<TestType> z_out(z.size()), back(z.size());
          std::vector<double> up(shape.n, 0.5), down(shape.n, 0.5);
          channel_affine_forward(z_out.data(), up.data(), z.data(), log_scale.data(), bias, 3, shape, backend);
          channel_affine_inverse(back.data(), down.data(), z.data(), log_scale.data(), bias, 3, shape, backend);
          auto dz = random_normal<TestType>(z.size(), 6);
          auto dlog_scale = random_normal<float>(shape.c, 7), dbias = random_normal<float>(shape.c, 8);
          channel_affine_backward(Grad<TestType>{dz.data(), mode}, Grad<float>{dlog_scale.data(), mode},
                                  Grad<float>{dbias.data(), mode}, dz_out.data(), dlogdet.data(), z.data(),
                                  log_scale.data(), bias, 3, shape, backend);
          return outputs(z_out, up, back, down, dz, dlog_scale, dbias);
        };
        // Elements are the same operations in double, rounded once. Sums have another order in double, and those of the
        // parameters are rounded to float, where the last bit may fall to the other side.
        for_each_simd_target([&] { check_cpu(run, 1e-7); });
      }
    }
  }
}

TEST_CASE("cpu gradients of channel_affine that nobody asked for are left out, and dz may replace dz_out") {
  const MapShape shape{9, 5, 3, 6};
  const auto z = random_normal<float>(shape.size(), 1), dz_out = random_normal<float>(shape.size(), 2);
  const auto log_scale = random_normal<float>(shape.c, 3), bias = random_normal<float>(shape.c, 4);
  const auto run = [&](Grad<float> dz, Grad<float> dlog_scale, Grad<float> dbias, const float* from, auto backend) {
    channel_affine_backward(dz, dlog_scale, dbias, from, nullptr, z.data(), log_scale.data(), bias.data(), 1, shape,
                            backend);
  };
  const auto check = [&](auto backend) {
    std::vector<float> dz(z.size()), dlog_scale(shape.c), dbias(shape.c), alone(shape.c), in_place = dz_out;
    run({dz.data()}, {dlog_scale.data()}, {dbias.data()}, dz_out.data(), backend);
    run({}, {alone.data()}, {}, dz_out.data(), backend);
    CHECK(same_bits(alone, dlog_scale));
    run({}, {}, {alone.data()}, dz_out.data(), backend);
    CHECK(same_bits(alone, dbias));
    run({in_place.data()}, {}, {alone.data()}, in_place.data(), backend);
    CHECK(same_bits(in_place, dz));
    CHECK(same_bits(alone, dbias));
  };
  check(Reference{});
  check(Cpu{});
}

TEST_CASE("channel_affine is finite where its line is, and an image's result does not depend on its batch") {
  const MapShape shape{3, 1, 1, 2};
  const std::vector<float> z{1e4f, 0, -1e4f, 0, NAN, 1}, log_scale{0, 2}, bias{-1e4f, 1e4f};
  std::vector<float> z_out(6), alone(2);
  std::vector<double> logdet(3), logdet_alone(1);
  channel_affine_forward(z_out.data(), logdet.data(), z.data(), log_scale.data(), bias.data(), 1, shape, Cpu{});
  CHECK(z_out[0] == 0);
  CHECK(z_out[2] == -2e4f);
  for (int i : {1, 3, 5}) CHECK(std::isfinite(z_out[i]));
  CHECK(std::isnan(z_out[4]));
  CHECK(logdet == std::vector<double>{2, 2, 2});
  channel_affine_forward(alone.data(), logdet_alone.data(), z.data() + 2, log_scale.data(), bias.data(), 1,
                         {1, 1, 1, 2}, Cpu{});
  CHECK(alone == std::vector<float>{z_out[2], z_out[3]});
  CHECK(logdet_alone[0] == logdet[1]);
}

TEST_CASE("actnorm's first parameters give its first batch mean 0 and variance 1") {
  for (const MapShape shape : {MapShape{3, 31, 1, 3}, {2, 1, 1, 257}}) {
    for (const double factor : {1.0, 3.0}) {
      auto values = random_normal<double>(shape.size(), 1, 2);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] += 1e4 * int(i % shape.c);
      const ChannelStatistics start = channel_statistics(values, shape, factor);
      std::vector<double> out(values.size()), mean(shape.c), var(shape.c);
      channel_affine_forward(out.data(), nullptr, values.data(), start.log_scale.data(), start.bias.data(), factor,
                             shape, Reference{});
      const double m = double(shape.n * shape.pixels());
      for (std::size_t i = 0; i < out.size(); ++i) mean[i % shape.c] += out[i] / m;
      for (std::size_t i = 0; i < out.size(); ++i) var[i % shape.c] += std::pow(out[i] - mean[i % shape.c], 2) / m;
      for (int k = 0; k < shape.c; ++k) {
        CHECK(std::abs(mean[k]) < 1e-8);  // values of up to 2.6e6 have 5e-10 of rounding, and two may lie close
        // 1e-6 is added to the deviation, which two normals of deviation 2 seldom bring below 0.01.
        if (shape.n > 2) CHECK(var[k] == Approx(1).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("actnorm's first parameters of a constant channel are finite") {
  const ChannelStatistics start = channel_statistics({5, 0, 5, 0, 5, 0}, {3, 1, 1, 2}, 3);
  CHECK(start.bias == std::vector<double>{-5, 0});
  for (double log_scale : start.log_scale) CHECK(log_scale == Approx(-std::log(1e-6) / 3).epsilon(1e-14));
}

}  // namespace
}  // namespace flowsmith::core::testing
