// A flow layer by layer: what goes through it, and how each layer computes.
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "tests/support/tiny_dataset.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

constexpr int kImages = 6;

/// Images of 8 x 4 pixels, and a flow in which every layer acts.
struct Look {
  explicit Look(const std::string& model) : flow(tutorial(model, "2024", 8, 4)), index(kImages) {
    randomize(flow, 13);
    std::iota(index.begin(), index.end(), 0u);
    for (int i = 0; i < kImages * 32; ++i) pixels.push_back(std::uint8_t(i * 41 % 256));
  }
  Batch batch() const { return {pixels.data(), index.data(), kImages}; }
  DequantizationNoise noise() const { return {NoiseStream{5, NoisePurpose::kScoring, 0}}; }

  Flow flow;
  std::vector<std::uint32_t> index;
  std::vector<std::uint8_t> pixels;
};

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

TEST_CASE("what goes through the layers is what encode makes, and the way back meets it", "[analysis]") {
  for (const char* const model : {"simple", "vardeq", "multiscale"}) {
    INFO(model);
    Look look(model);
    const auto forward = look.flow.layer_outputs(look.batch(), look.noise());
    const Latents latents = look.flow.encode(look.batch(), look.noise());
    REQUIRE(forward.size() == look.flow.layers().size() - 1);  // the base is none
    CHECK(forward.front().name == "flows.0");
    CHECK(forward.back().values == latents.back().values);
    const auto back = look.flow.inverse_outputs(latents, kImages);
    REQUIRE(back.size() == forward.size());
    CHECK(back.front().name == "base");
    for (std::size_t i = 0; i < back.size(); ++i) {
      const auto& there = forward[forward.size() - 1 - i];
      CHECK(back[i].map.size() == there.map.size());
      // Doubles through some ten layers that stretch by a few powers of e.
      CHECK(largest_difference(back[i].values, there.values) < 1e-9);
      if (i > 0) CHECK(back[i].name == look.flow.layers()[forward.size() - i].name);
    }
  }
}

TEST_CASE("the health of layers agrees with what is known of them", "[analysis]") {
  Look look("multiscale");
  const auto layers = look.flow.layer_health(look.batch(), look.noise());
  const auto bounded = look.flow.bounded_logdets(look.batch(), look.noise());
  const auto ledger = look.flow.ledger(look.batch(), look.noise());
  REQUIRE(layers.size() == look.flow.layers().size() - 2);
  for (const auto& layer : layers) {
    INFO(layer.name);
    CHECK(layer.round_trip < 1e-10);
    const auto term = std::find_if(ledger.begin(), ledger.end(), [&](const auto& t) { return t.name == layer.name; });
    REQUIRE(term != ledger.end());
    const double mean = std::accumulate(term->nats.begin(), term->nats.end(), 0.0) / kImages;
    const auto bound =
        std::find_if(bounded.begin(), bounded.end(), [&](const auto& b) { return b.name == layer.name; });
    CHECK(layer.share_of_bound.has_value() == (bound != bounded.end()));
    if (bound != bounded.end()) {
      CHECK(*layer.share_of_bound == Approx(bound->mean / bound->largest).epsilon(1e-9));
    }
    if (!layer.log_scale) continue;
    // Half of the elements are transformed; their mean lies between the smallest and the largest.
    const double each = mean / (double(term->map.size()) / 2);
    CHECK(layer.log_scale->first <= each + 1e-9);
    CHECK(layer.log_scale->second >= each - 1e-9);
    CHECK(layer.log_scale->first < layer.log_scale->second);
    CHECK(layer.precision_gap > 0);     // floats round
    CHECK(layer.precision_gap < 1e-3);  // by 1e-7 of a few hundred log-scales
    REQUIRE(layer.dead_channels);
    CHECK(*layer.dead_channels == 0);
  }
}

TEST_CASE("channels without a gradient are counted", "[analysis]") {
  Look look("simple");
  look.flow.initialize(1);  // the last layer of each network is zero: nothing gets through
  for (const auto& layer : look.flow.layer_health(look.batch(), look.noise())) {
    REQUIRE(layer.dead_channels);
    CHECK(*layer.dead_channels == 1);
    REQUIRE(layer.log_scale);
    CHECK(std::abs(layer.log_scale->first) < 1e-10);  // rounding of (z' - z) / 1e-4
    CHECK(std::abs(layer.log_scale->second) < 1e-10);
  }
}

}  // namespace
}  // namespace flowsmith::core
