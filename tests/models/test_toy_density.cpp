// A density integrates to 1: a flow trained on images of two pixels, summed up over its whole plane.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/dequantization_math.h"
#include "models/training/training_step.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core {
namespace {

constexpr int kBatch = 32;
constexpr int kSteps = 40;

/// Two pixels, of which the second follows a curve over the first.
std::vector<std::uint8_t> toy_images(std::uint32_t step) {
  std::vector<double> noise(2 * kBatch);
  const NoiseStream stream{3};
  normal_noise(noise.data(), &step, &stream, 1, 1, noise.size(), Reference{});
  std::vector<std::uint8_t> pixels;
  for (int i = 0; i < kBatch; ++i) {
    const double a = noise[2 * i], b = 0.5 * std::sin(2 * a) + 0.4 * noise[2 * i + 1];
    for (const double w : {a, b}) pixels.push_back(std::uint8_t(kGreyLevels * sigmoid(w)));
  }
  return pixels;
}

struct Losses {
  double first = 0, last = 0;
};

Losses train(Flow& flow) {
  flow.initialize(1);
  TrainingStep step(flow);
  std::vector<std::uint32_t> index(kBatch);
  Losses losses;
  for (int s = 0; s < kSteps; ++s) {
    for (int i = 0; i < kBatch; ++i) index[i] = std::uint32_t(s * kBatch + i);
    const std::vector<std::uint8_t> pixels = toy_images(std::uint32_t(s));
    step.stage({pixels.data(), index.data(), kBatch}, {NoiseStream{5}});
    losses.last = step.run({.lr = 1e-3}, 1).loss;
    if (s == 0) losses.first = losses.last;
  }
  return losses;
}

/// A pixel value with its noise, y = x + u, and dy/dw, at logit((x + u) / 256) = w.
struct Pixel {
  std::uint8_t x;
  float u;
  double dy_dw;
};

Pixel pixel_at(double w) {
  const double p = sigmoid(w), y = kGreyLevels * (p - kAlpha / 2) / (1 - kAlpha);
  const auto x = std::uint8_t(y);
  return {x, float(y - x), kGreyLevels * p * (1 - p) / (1 - kAlpha)};
}

/// Integrals over the plane of w = logit(y / 256), where the couplings work: of the flow's density, and of what it
/// would be if the couplings' log-determinant had the other sign.
struct Integrals {
  double density = 0, wrong_sign = 0;
};

/// By the midpoint rule with so many nodes a side, over |w| < limit.
Integrals integrate(const Flow& flow, double limit, int nodes) {
  const double h = 2 * limit / nodes;
  std::vector<std::uint8_t> x;
  std::vector<float> u;
  std::vector<double> dy_dw;
  for (int i = 0; i < nodes; ++i) {
    for (int j = 0; j < nodes; ++j) {
      const Pixel first = pixel_at((i + 0.5) * h - limit), second = pixel_at((j + 0.5) * h - limit);
      x.insert(x.end(), {first.x, second.x});
      u.insert(u.end(), {first.u, second.u});
      dy_dw.push_back(first.dy_dw * second.dy_dw);
    }
  }
  const int n = nodes * nodes;
  const std::vector<std::uint32_t> index(n);  // the noise is given
  Tape tape(flow.device());
  tape.start(false);
  const Flow::Pass pass = flow.forward(tape, {x.data(), index.data(), n}, {{}, u.data()}, DType::kF64, false);
  const double* const log_prob = tape.value(pass.log_prob).data<double>();
  const double* const z = tape.value(pass.z).data<double>();
  Integrals sum;
  for (int k = 0; k < n; ++k) {
    // log_prob is a density of y; times dy/dw it is one of w.
    const double log_density = log_prob[k] + std::log(dy_dw[k]);
    const double log_prior = -(z[2 * k] * z[2 * k] + z[2 * k + 1] * z[2 * k + 1]) / 2 - std::log(2 * M_PI);
    sum.density += h * h * std::exp(log_density);
    sum.wrong_sign += h * h * std::exp(2 * log_prior - log_density);
  }
  return sum;
}

}  // namespace

TEST_CASE("the density of a trained flow integrates to 1") {
  // Two pixels are too few to share between threads.
  Flow flow(tutorial("simple", "2024", 1, 2), Device{.threads = 1});
  const Losses losses = train(flow);
  CHECK(losses.last < losses.first - 0.3);  // otherwise the flow would still be the identity, whose logdet is 0
  // The midpoint rule errs little for a smooth density whose narrowest part, 0.4, is wider than the step of 1/4; and
  // less than 1e-4 of the flow lies beyond 6 standard deviations of its prior. With half the step, or beyond 8, the
  // integral differs by 1e-5.
  const Integrals integrals = integrate(flow, 6, 48);
  CHECK(integrals.density == Approx(1).margin(1e-3));
  // The same sum sees a wrong sign.
  CHECK(std::abs(integrals.wrong_sign - 1) > 0.1);
}

}  // namespace flowsmith::core
