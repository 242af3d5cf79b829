// flowsmith latents: samples that share latents, and the latents of data.
#include <nlohmann/json.hpp>

#include "data/npy.h"
#include "data/png.h"
#include "models/analysis/normality.h"
#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

const Arguments kWeights{"--weights", "w.safetensors"};

/// Weights of a flow with three scales, and images of 8 x 4 pixels.
struct LatentsPlace : Workplace {
  LatentsPlace() {
    dataset = load_dataset(write_tiny_dataset(dir(), "tiny", {60, 12, 8, 4}));
    write_weights("w.safetensors", "multiscale");
  }
  std::vector<std::uint8_t> samples(const Arguments& arguments) const {
    output_of("latents",
              kWeights + Arguments{"--data", "tiny", "--rows", "2", "--columns", "3", "--npy", "s.npy"} + arguments);
    const NamedTensor array = read_npy(path("s.npy"));
    CHECK(array.shape == std::vector<std::int64_t>{2, 3, 8, 4});
    return {array.as<std::uint8_t>().begin(), array.as<std::uint8_t>().end()};
  }
  Dataset dataset;
};

TEST_CASE("the samples of a row share the latent that --keep names", "[cli]") {
  const LatentsPlace place;
  Flow flow = Flow::load(place.path("w.safetensors"));
  const auto expected = [&](std::size_t kept, std::vector<double> temperatures) {
    Latents latents = flow.draw_latents({.count = 6, .seed = 42, .temperatures = std::move(temperatures)});
    const std::size_t size = latents[kept].values.size() / 6;
    for (const std::size_t i : {1, 2, 4, 5}) {
      const auto from = latents[kept].values.begin() + std::ptrdiff_t(i / 3 * 3 * size);
      std::copy_n(from, size, latents[kept].values.begin() + std::ptrdiff_t(i * size));
    }
    return flow.decode(latents, 6);
  };
  CHECK(place.samples({}) == expected(1, {}));
  CHECK(place.samples({"--keep", "final"}) == expected(1, {}));
  CHECK(place.samples({"--keep", "first"}) == expected(0, {}));
  CHECK(place.samples({"--keep", "0"}) == expected(0, {}));
  CHECK(place.samples({"--temperature", "0.5"}) == expected(1, {0.5, 0.5}));
  CHECK(place.samples({"--temperature", "0.7,0"}) == expected(1, {0.7, 0}));
  CHECK(place.samples({"--temperature", "0.7,0"}) != expected(1, {0, 0.7}));
  CHECK(place.samples({"--seed", "1"}) != expected(1, {}));
}

TEST_CASE("the latents of data are held against a standard normal", "[cli]") {
  const LatentsPlace place;
  const std::string text = place.output_of("latents", kWeights + Arguments{"--data", "tiny", "--json", "n.json"});
  CHECK_THAT(text, Contains("3 rows of 8 samples as a picture: latents.png\n") && Contains("latents of 12 images") &&
                       Contains("Distance"));
  const Image picture = read_png(place.path("latents.png"));
  CHECK(picture.cols == 8 * 2 * 4 + 9 * 2);
  CHECK(picture.rows == 3 * 2 * 8 + 4 * 2);
  CHECK(read_png(place.path("latent_histograms.png")).channels == 3);
  Flow flow = Flow::load(place.path("w.safetensors"));
  std::vector<std::uint32_t> index(12);
  std::iota(index.begin(), index.end(), 0u);
  const Latents latents =
      flow.encode({place.dataset.test.images.data(), index.data(), 12}, {NoiseStream{42, NoisePurpose::kScoring, 0}});
  const nlohmann::json rows = nlohmann::json::parse(place.bytes("n.json"));
  REQUIRE(rows.size() == 2);
  for (std::size_t k = 0; k < 2; ++k) {
    const Normality found = normality(latents[k].values);
    CHECK(rows[k]["name"] == latents[k].name);
    CHECK(rows[k]["numbers"] == latents[k].values.size());
    CHECK(rows[k]["mean"] == Approx(found.mean));
    CHECK(rows[k]["deviation"] == Approx(found.deviation));
    CHECK(rows[k]["distance"] == Approx(found.distance));
    double mass = rows[k]["histogram"]["below"].get<double>() + rows[k]["histogram"]["above"].get<double>();
    for (const double density : rows[k]["histogram"]["density"]) mass += density * 0.2;
    CHECK(mass == Approx(1).epsilon(1e-9));  // a sum of some hundred rounded shares
  }
}

TEST_CASE("flows of numbers have latents, but no pictures of samples", "[cli]") {
  const LatentsPlace place;
  Flow numbers(FlowConfig::named("moons"));
  numbers.initialize(1);
  numbers.save(place.path("moons.safetensors"));
  const Arguments moons{"--weights", "moons.safetensors", "--limit", "100"};
  CHECK_THAT(place.output_of("latents", moons), Contains("latents of 100 rows") && Contains("z.final"));
  CHECK_FALSE(std::filesystem::exists(place.path("latents.png")));
  CHECK_THAT(place.refusal_of("latents", moons + Arguments{"--out", "x.png"}),
             Contains("--out is for flows of images"));
  CHECK_THAT(place.refusal_of("latents", moons + Arguments{"--keep", "first"}), Contains("--keep is for"));
}

TEST_CASE("latents says what it cannot do", "[cli]") {
  const LatentsPlace place;
  const auto refusal = [&](const Arguments& more) {
    return place.refusal_of("latents", kWeights + Arguments{"--data", "tiny"} + more);
  };
  for (const std::string keep : {"1", "last", "-1", "0x"}) {
    CHECK_THAT(refusal({"--keep=" + keep}), Contains("'" + keep + "'") && Contains("choose final, first"));
  }
  for (const std::string text : {"", "hot", "1,", "1,x", "-1", "nan", "inf", "1;2"}) {
    CHECK_THAT(refusal({"--temperature=" + text}), Contains("--temperature"));
  }
  CHECK_THAT(refusal({"--temperature", "1,1,1"}), Contains("2 latents, not 3"));
  for (const char* const option : {"--rows", "--columns"}) {
    for (const char* const value : {"0", "-1", "1001"}) {
      CHECK_THAT(refusal({option, value}), Contains(std::string(option) + " must be 1 to 1000"));
    }
  }
  CHECK_THAT(refusal({"--rows", "1000", "--columns", "1000"}), Contains("at most 100000"));
  CHECK_THAT(refusal({"--limit", "0"}), Contains("--limit must be 1 or more"));
  CHECK_THAT(refusal({"--out", "x.gif"}), Contains(".png"));
}

}  // namespace
}  // namespace flowsmith::core
