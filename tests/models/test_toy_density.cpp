// A density integrates to 1: a flow trained on images of two pixels, summed up over its whole plane.
#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/dequantization_math.h"
#include "models/training_step.h"

namespace flowsmith {
namespace {

constexpr int kBatch = 64;
constexpr int kSteps = 60;

/// Two pixels, of which the second bends around the first: a density that takes work on both.
std::vector<std::uint8_t> toy_images(std::uint32_t step) {
  std::vector<double> noise(2 * kBatch);
  normal_noise(noise.data(), &step, NoiseStream{3}, 1, 1, noise.size(), Reference{});
  std::vector<std::uint8_t> pixels;
  for (int i = 0; i < kBatch; ++i) {
    const double a = noise[2 * i], b = noise[2 * i + 1];
    pixels.push_back(std::uint8_t(std::clamp(128 + 30 * a, 0.0, 255.0)));
    pixels.push_back(std::uint8_t(std::clamp(90 + 25 * a * a + 12 * b, 0.0, 255.0)));
  }
  return pixels;
}

struct Trained {
  Flow flow{ModelSpec{Architecture::kSimple, Edition::k2024, 1, 2}};
  double first_loss = 0, last_loss = 0;
};

void train(Trained& trained) {
  trained.flow.initialize(1);
  TrainingStep step(trained.flow);
  std::vector<std::uint32_t> index(kBatch);
  for (int s = 0; s < kSteps; ++s) {
    for (int i = 0; i < kBatch; ++i) index[i] = std::uint32_t(s * kBatch + i);
    const std::vector<std::uint8_t> pixels = toy_images(std::uint32_t(s));
    const double loss = step.run({pixels.data(), index.data(), kBatch}, {NoiseStream{5}}, {.lr = 3e-3}, 1).bits_per_dim;
    (s == 0 ? trained.first_loss : trained.last_loss) = loss;
  }
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

/// Integrals over the plane of w = logit(y / 256), where the couplings work: of the flow's density, and of what it would
/// be if the couplings' log-determinant had the other sign.
struct Integrals {
  double density = 0, wrong_sign = 0;
};

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
  Trained trained;
  train(trained);
  for (double limit: {6., 8., 11.}) for (int nodes: {32,48,64,96,128}) {
   auto r = integrate(trained.flow, limit, nodes);
   printf("%g %g limit %g nodes %d: %.9f wrong %.6f\n", trained.first_loss, trained.last_loss, limit, nodes, r.density-1, r.wrong_sign);
  }
}

}  // namespace flowsmith
