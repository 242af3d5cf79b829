// The public Flow: the bits of the layer below, and errors with a code.
#include <numeric>

#include "models/files/weights.h"
#include "models/flow.h"
#include "tests/api/api_testing.h"

namespace flowsmith {
namespace {

using namespace api_testing;

/// The same weights in the layer below.
core::Flow core_flow(const Flow& flow, const core::TempDir& dir) {
  flow.save(dir.file("w.safetensors"));
  return core::Flow::load(dir.file("w.safetensors"));
}

std::vector<std::uint32_t> numbers(std::uint32_t first, int n) {
  std::vector<std::uint32_t> all(std::size_t(n), 0);
  std::iota(all.begin(), all.end(), first);
  return all;
}

TEST_CASE("scores of images are those of the layer below", "[api]") {
  const core::TempDir dir;
  const Flow flow = image_flow();
  const core::Flow below = core_flow(flow, dir);
  const int n = 70;  // more than a pass
  const std::vector<std::uint8_t> images = some_images(n);
  const auto index = numbers(9, n);
  const core::NoiseStream noise{4, core::NoisePurpose::kScoring, 0};
  const core::Batch batch{images.data(), index.data(), n};
  CHECK(flow.log_prob(images, {.seed = 4, .first = 9}) == below.log_prob(batch, noise, 1));
  const std::vector<double> three = below.log_prob(batch, noise, 3);
  CHECK(flow.log_prob(images, {.samples = 3, .seed = 4, .first = 9}) == three);
  CHECK(flow.bits_per_dim(images, {.samples = 3, .seed = 4, .first = 9})[7] ==
        Approx(-three[7] / (64 * std::log(2))).epsilon(1e-14));
  CHECK(flow.log_prob(std::span(images).first(0)).empty());
  // An example scores the same in any batch.
  const auto part = flow.log_prob(std::span(images).subspan(64 * 5, 64), {.samples = 3, .seed = 4, .first = 14});
  CHECK(part == std::vector<double>{three[5]});
}

TEST_CASE("images come back from their latents, and samples are decoded latents", "[api]") {
  const core::TempDir dir;
  const Flow flow = image_flow();
  const std::vector<std::uint8_t> images = some_images(5);
  const std::vector<Latent> latents = flow.encode(images);
  REQUIRE(latents.size() == 2);
  CHECK(flow.latents()[0].name == latents[0].name);
  CHECK(latents[0].values.size() == 5 * flow.latents()[0].shape.size());
  CHECK(flow.decode_images(latents) == images);
  CHECK(flow.encode(images, {.seed = 1})[1].values != latents[1].values);

  const std::vector<std::uint8_t> samples = flow.sample_images({.count = 6, .seed = 7, .first = 3});
  CHECK(samples == core_flow(flow, dir).sample({.count = 6, .seed = 7, .first = 3}));
  CHECK(std::vector(samples.begin() + 64, samples.end()) == flow.sample_images({.count = 5, .seed = 7, .first = 4}));
  CHECK(flow.sample_images({.count = 2, .temperatures = {0, 0}}) == flow.sample_images({.count = 2, .temperature = 0}));
}

TEST_CASE("rows of numbers score, come back and are drawn", "[api]") {
  const core::TempDir dir;
  const int dims = GENERATE(2, 3, 31);
  const Flow flow = row_flow(dims);
  const core::Flow below = core_flow(flow, dir);
  const std::vector<double> rows = some_rows(11, dims);
  const auto index = numbers(0, 11);
  const std::vector<double> nats = flow.log_prob(rows);
  CHECK(nats == below.log_prob({nullptr, index.data(), 11, rows.data()}, {}));
  CHECK(flow.log_prob(rows, {.samples = 5}) == nats);  // there is no noise
  const std::vector<double> again = flow.decode_rows(flow.encode(rows));
  for (std::size_t i = 0; i < rows.size(); ++i)
    CHECK(again[i] == Approx(rows[i]).margin(1e-12));  // rounding of doubles
  CHECK(flow.sample_rows({.count = 3, .seed = 2}) == below.sample_numbers({.count = 3, .seed = 2}));
}

TEST_CASE("a transform comes back, and the log-determinants cancel", "[api]") {
  const Flow flow = GENERATE(true, false) ? image_flow() : row_flow(3);
  const std::vector<double> x = some_rows(4, int(flow.dims()));
  const Transformed forward = flow.transform(x), back = flow.inverse_transform(forward.values);
  REQUIRE(forward.values.size() == x.size());
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(back.values[i] == Approx(x[i]).margin(1e-12));
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(forward.logdet[i] != 0);
    CHECK(back.logdet[i] == Approx(-forward.logdet[i]).margin(1e-10));  // sums of 64 terms
  }
}

TEST_CASE("a flow says what it is", "[api]") {
  const Flow flow = image_flow();
  CHECK(flow.name() == "small");
  CHECK(flow.takes_images());
  CHECK(flow.shape() == Shape{8, 8, 1});
  CHECK(flow.dims() == 64);
  CHECK_THAT(flow.config(), Catch::Contains("\"gated_resnet\""));
  std::size_t parameters = 0, dims = 0;
  for (const StateArray& array : flow.state()) parameters += array.is_parameter ? array.values.size() : 0;
  for (const LatentInfo& latent : flow.latents()) dims += latent.shape.size();
  CHECK(parameters == flow.parameter_count());
  CHECK(dims == 64);
  CHECK_THAT(flow.summary(), Catch::StartsWith("flow small of 8x8x1 pixels, ") && Catch::Contains("squeeze") &&
                                 Catch::Contains("\n  base"));
  CHECK(library_version().starts_with("1.0"));
}

TEST_CASE("configurations are found, filled in and changed", "[api]") {
  const std::vector<std::string> names = config_names();
  CHECK(std::find(names.begin(), names.end(), "multiscale") != names.end());
  CHECK_THAT(config_text(" {\"name\": \"x\", \"data\": {\"type\": \"vector\", \"dims\": 2}, \"layers\": []}"),
             Catch::Contains("standard_normal"));
  CHECK_THAT(config_with("moons", "layers.0.repeat", "3"), Catch::Contains("\"repeat\": 3"));
  CHECK(config_shape(config_for("glow", {16, 16, 3})) == Shape{16, 16, 3});
  CHECK(Flow::from_config("moons", 1).state()[0].values == Flow::from_config("moons", 1).state()[0].values);
  CHECK(Flow::from_config("moons", 1).state()[0].values != Flow::from_config("moons", 2).state()[0].values);
}

TEST_CASE("state goes from flow to flow, and a wrong one changes nothing", "[api]") {
  const std::vector<double> rows = some_rows(4);
  const Flow from = row_flow();
  Flow to = Flow::from_config(row_config(), 99);
  CHECK(to.log_prob(rows) != from.log_prob(rows));
  std::vector<StateArray> state = from.state();
  std::reverse(state.begin(), state.end());
  to.set_state(state);
  CHECK(to.log_prob(rows) == from.log_prob(rows));

  const auto refuses = [&](std::vector<StateArray> arrays) {
    CHECK(code_of([&] { to.set_state(arrays); }) == ErrorCode::kInvalidInput);
    CHECK(to.log_prob(rows) == from.log_prob(rows));
  };
  std::vector<StateArray> wrong = state;
  wrong.pop_back();
  refuses(wrong);
  wrong = state;
  wrong.back().values.back() = NAN;
  refuses(wrong);
  wrong = state;
  wrong.back().shape.push_back(2);
  refuses(wrong);
  wrong = state;
  wrong.push_back({"stranger", {1}, {0.0}});
  refuses(wrong);
}

TEST_CASE("errors have a code and one line", "[api]") {
  const core::TempDir dir;
  const Flow images = image_flow(), rows = row_flow();
  const auto invalid = [](auto&& fn) { CHECK(code_of(fn) == ErrorCode::kInvalidInput); };
  invalid([&] { images.log_prob(some_rows(2)); });
  invalid([&] { rows.log_prob(some_images(2)); });
  invalid([&] { rows.bits_per_dim(some_images(2)); });
  invalid([&] { images.log_prob(std::vector<std::uint8_t>(63)); });
  invalid([&] { rows.transform(std::vector<double>(3)); });
  invalid([&] { images.log_prob(some_images(1), {.samples = 0}); });
  invalid([&] { images.sample_images({.count = -1}); });
  invalid([&] { images.sample_images({.temperature = -1}); });
  invalid([&] { images.sample_images({.temperatures = {1}}); });
  invalid([&] { rows.sample_images(); });
  invalid([&] { images.decode_images({}); });
  std::vector<Latent> latents = images.encode(some_images(2));
  latents[1].values.pop_back();
  invalid([&] { images.decode_images(latents); });
  invalid([&] { Flow::from_config("no such model"); });
  invalid([&] { Flow::from_config("{\"name\": 3"); });
  invalid([&] { Flow::from_config("moons", 1, {.device = "abacus"}); });
  invalid([&] { Flow::from_config("moons", 1, {.threads = -1}); });
  invalid([&] { Flow::from_config("moons", 1, {.precision = "fp8"}); });
  CHECK(code_of([&] { Flow::load(dir.file("none")); }) == ErrorCode::kFile);
  core::write_file_atomically(dir.file("junk"), std::string("junk"));
  CHECK(code_of([&] { Flow::load(dir.file("junk")); }) == ErrorCode::kFile);
  CHECK(code_of([&] { images.save(dir.file("no/such/folder")); }) == ErrorCode::kFile);
  invalid([&] { Flow::load(dir.file("none"), {.device = "abacus"}); });
  CHECK(code_of([&] { rows.log_prob(std::vector<double>{1e300, -1e300}); }) == ErrorCode::kNotFinite);
  CHECK(code_of([&] { rows.encode(std::vector<double>{NAN, 0}); }) == ErrorCode::kNotFinite);
}

}  // namespace
}  // namespace flowsmith
