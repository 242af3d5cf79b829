// A few examples for any flow, and whether they come back from its latents.
#pragma once

#include <catch2/catch.hpp>
#include <numeric>

#include "models/flow.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {

/// Images with black and white in them, or normal numbers.
struct FlowExamples {
  explicit FlowExamples(const Flow& flow, int count = 3)
      : n(count),
        pixels(random_bytes(flow.takes_images() ? n * flow.dims() : 0, 17)),
        values(flow.takes_images() ? std::vector<double>() : random_normal<double>(n * flow.dims(), 18)),
        index(n) {
    for (std::size_t i = 0; i < pixels.size(); i += 5) pixels[i] = std::uint8_t(255 * (i % 2));
    for (int i = 0; i < n; ++i) index[i] = std::uint32_t(1000 - 7 * i);
  }

  Batch batch() const { return {pixels.data(), index.data(), n, values.data()}; }
  /// The i-th alone.
  Batch one(const Flow& flow, int i) const { return batch().slice(flow.dims(), i, 1); }

  int n;
  std::vector<std::uint8_t> pixels;
  std::vector<double> values;
  std::vector<std::uint32_t> index;
};

/// All numbers of an example's latents, example by example.
inline std::vector<double> by_example(const Latents& latents, int n) {
  std::vector<double> all;
  for (int i = 0; i < n; ++i) {
    for (const Latent& z : latents) {
      const std::size_t size = z.values.size() / n;
      all.insert(all.end(), z.values.begin() + i * size, z.values.begin() + (i + 1) * size);
    }
  }
  return all;
}

/// What a flow of fewer grey levels sees of pixels: the lowest level is black, the highest one white.
inline std::vector<std::uint8_t> reduced(std::vector<std::uint8_t> pixels, int levels) {
  for (std::uint8_t& pixel : pixels) pixel = std::uint8_t(pixel / (256 / levels) * 255 / (levels - 1));
  return pixels;
}

/// Sets what the network of a layer adds to its output, t and s of a coupling, whatever it sees.
inline void set_last_bias(Flow& flow, const std::string& layer, float value) {
  Parameters& parameters = flow.parameters();
  for (int i = parameters.count() - 1; i >= 0; --i) {
    if (!parameters[i].name.starts_with(layer + ".") || !parameters[i].name.ends_with(".bias")) continue;
    const std::vector<float> values(parameters[i].shape.size(), value);
    upload(flow.device(), parameters.value(i), values.data());
    return flow.weights_changed();
  }
  FAIL("no bias in " << layer);
}

/// Images must come back exactly from their latents, and numbers but for rounding: at 1e-16 in each of some twenty
/// layers, each of which scales what the ones before it left.
inline void check_examples_survive(Flow& flow, const FlowExamples& examples, const NoiseStream& noise) {
  const Latents latents = flow.encode(examples.batch(), {noise});
  for (const Latent& z : latents) {
    CHECK(std::all_of(z.values.begin(), z.values.end(), [](double value) { return std::isfinite(value); }));
  }
  if (flow.takes_images()) {
    CHECK(flow.decode(latents, examples.n) == reduced(examples.pixels, flow.config().data().integer("levels")));
  } else {
    CHECK(relative_error(flow.decode_numbers(latents, examples.n), examples.values) < 1e-12);
  }
}

}  // namespace flowsmith::core::testing
