// Layers inside a variational dequantization are layers like any others: they take values from data, and know when
// they have new weights.
#include <catch2/catch.hpp>
#include <cmath>

#include "models/flow.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

TEST_CASE("a dequantization may hold layers with states and values from data") {
  const FlowConfig config = FlowConfig::parse(R"({
    "data": {"type": "image8", "height": 4, "width": 4},
    "dequantization": {"type": "variational", "layers": [
      "actnorm", "batch_norm", "invertible_conv",
      {"type": "coupling", "conditioner": {"type": "resnet", "hidden": 4, "blocks": 1}},
      {"type": "coupling", "invert": true, "conditioner": {"type": "glow_cnn", "hidden": 4}}]},
    "layers": []})",
                                              "here");
  Flow flow(config);
  flow.initialize(1);
  CHECK(flow.needs_data());
  constexpr int kImages = 8;
  std::vector<std::uint8_t> pixels(kImages * flow.dims());
  std::vector<std::uint32_t> index(kImages);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = std::uint8_t(31 * i);
  for (int i = 0; i < kImages; ++i) index[i] = std::uint32_t(i);
  const Batch batch{pixels.data(), index.data(), kImages};
  const DequantizationNoise noise{NoiseStream{3}};
  const std::vector<double> before = flow.log_prob(batch, noise);
  flow.initialize_from(batch, noise);
  const std::vector<double> after = flow.log_prob(batch, noise);
  for (int i = 0; i < kImages; ++i) {
    CHECK(std::isfinite(before[i]));
    CHECK(std::isfinite(after[i]));
    CHECK(after[i] != before[i]);
  }
  const TempDir dir;
  flow.save(dir.file("weights.safetensors"));
  CHECK(Flow::load(dir.file("weights.safetensors")).log_prob(batch, noise) == after);
}

}  // namespace
}  // namespace flowsmith::core
