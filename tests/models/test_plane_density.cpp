// Densities in the plane: they integrate to 1, and samples have their moments.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/tiny_dataset.h"

namespace flowsmith::core {
namespace {

/// What a density of the plane is, summed over a grid: mean and covariance, and the mean of -log p.
struct Moments {
  double mass = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0, entropy = 0;
};

/// The midpoint rule over |x|, |y| < limit.
Moments integrate(Flow& flow, double limit, int nodes) {
  const double h = 2 * limit / nodes;
  std::vector<double> points;
  for (int i = 0; i < nodes; ++i) {
    for (int j = 0; j < nodes; ++j) points.insert(points.end(), {(i + 0.5) * h - limit, (j + 0.5) * h - limit});
  }
  const int n = nodes * nodes;
  const std::vector<std::uint32_t> index(n);
  const std::vector<double> log_prob = flow.log_prob({.index = index.data(), .n = n, .values = points.data()}, {});
  Moments m;
  for (int i = 0; i < n; ++i) {
    const double x = points[2 * i], y = points[2 * i + 1], p = h * h * std::exp(log_prob[i]);
    m.mass += p, m.x += p * x, m.y += p * y;
    m.xx += p * x * x, m.yy += p * y * y, m.xy += p * x * y;
    m.entropy -= p * log_prob[i];
  }
  return m;
}

/// The same of n samples.
Moments sampled(Flow& flow, int n) {
  const std::vector<double> points = flow.sample_numbers({.count = n, .seed = 12});
  const std::vector<std::uint32_t> index(n);
  const std::vector<double> log_prob = flow.log_prob({.index = index.data(), .n = n, .values = points.data()}, {});
  Moments m;
  for (int i = 0; i < n; ++i) {
    const double x = points[2 * i], y = points[2 * i + 1], p = 1.0 / n;
    m.mass += p, m.x += p * x, m.y += p * y;
    m.xx += p * x * x, m.yy += p * y * y, m.xy += p * x * y;
    m.entropy -= p * log_prob[i];
  }
  return m;
}

}  // namespace

TEST_CASE("the density of a flow in the plane integrates to 1, and its samples have its moments", "[long]") {
  // Half of the couplings of moons, with narrower networks, since there are 360,000 points.
  const FlowConfig moons =
      FlowConfig::named("moons").with("layers.0.repeat", "4").with("layers.0.conditioner.hidden", "[16, 16]");
  std::vector<FlowConfig> configs{
      moons, moons.with("base", R"({"type": "mixture", "components": 4, "spread": 1.5})"),
      moons.with("base", "diagonal_normal").with("data.standardize", "true").with("layers", R"([
        {"type": "coupling", "mask": "alternating", "transformer": {"type": "affine", "bound": "learned_tanh"},
         "conditioner": {"type": "mlp", "hidden": [16], "activation": "tanh"}},
        "batch_norm", {"type": "invertible_conv", "form": "plu"}, "actnorm",
        {"type": "coupling", "mask": "alternating", "invert": true, "transformer": "additive",
         "conditioner": {"type": "mlp", "hidden": [16], "activation": "elu"}}, "permutation", "diagonal"])")};
  for (const FlowConfig& config : configs) {
    INFO(config.line());
    Flow flow(config);
    randomize(flow, 6);
    if (config.standardizes()) flow.standardize({0.5, -1}, {1.5, 0.7});
    flow.set_inference_batch(4096);
    // The step is 1/15, and beyond 20 there is next to nothing: with a limit of 16 or 26 the mass differs by 1e-4.
    const Moments m = integrate(flow, 20, 600);
    CHECK(m.mass == Approx(1).margin(1e-3));
    CHECK(std::abs(m.xx - 1) + std::abs(m.yy - 1) + std::abs(m.xy) > 0.2);  // it is not the base any more

    constexpr int kSamples = 40000;
    const Moments s = sampled(flow, kSamples);
    // Five standard errors; those of a square of a number of deviation d are d^2 sqrt(2 / n), and with heavier tails a
    // little more.
    const double error = 5 / std::sqrt(double(kSamples));
    CHECK(std::abs(s.x - m.x) < error * std::sqrt(m.xx));
    CHECK(std::abs(s.y - m.y) < error * std::sqrt(m.yy));
    CHECK(std::abs(s.xx - m.xx) < 3 * error * m.xx);
    CHECK(std::abs(s.yy - m.yy) < 3 * error * m.yy);
    CHECK(std::abs(s.xy - m.xy) < 3 * error * std::sqrt(m.xx * m.yy));
    CHECK(std::abs(s.entropy - m.entropy) < 2 * error);  // -log p deviates by about 1
  }
}

}  // namespace flowsmith::core
