// flowsmith interpolate: rows of images between pairs.
#include <nlohmann/json.hpp>

#include "data/npy.h"
#include "data/png.h"
#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

const Arguments kWeights{"--weights", "w.safetensors"};

/// Weights of a flow with three scales, and images of 8 x 4 pixels.
struct InterpolationPlace : Workplace {
  InterpolationPlace() {
    dataset = load_dataset(write_tiny_dataset(dir(), "tiny", {60, 12, 8, 4}));
    write_weights("w.safetensors", "multiscale");
  }
  std::vector<std::uint8_t> image(int i) const {
    return {dataset.test.images.begin() + i * 32, dataset.test.images.begin() + (i + 1) * 32};
  }
  /// The images of a run, without those of the picture.
  std::vector<std::uint8_t> images(const Arguments& arguments) const {
    output_of("interpolate", kWeights + arguments + Arguments{"--npy", "between.npy"});
    const NamedTensor array = read_npy(path("between.npy"));
    return {array.as<std::uint8_t>().begin(), array.as<std::uint8_t>().end()};
  }
  nlohmann::json numbers(const Arguments& arguments) const {
    output_of("interpolate", kWeights + arguments + Arguments{"--json", "between.json"});
    return nlohmann::json::parse(bytes("between.json"));
  }
  Dataset dataset;
};

TEST_CASE("exact interpolation begins and ends with the images, pixel for pixel", "[cli]") {
  const InterpolationPlace place;
  const std::string path = GENERATE("linear", "spherical");
  const std::vector<std::uint8_t> all =
      place.images({"--data", "tiny", "--pairs", "3:0,5:11,2:2", "--steps", "4", "--path", path});
  REQUIRE(all.size() == 3 * 4 * 32);
  const auto at = [&](int row, int step) {
    const auto begin = all.begin() + (row * 4 + step) * 32;
    return std::vector<std::uint8_t>(begin, begin + 32);
  };
  const int ends[3][2] = {{3, 0}, {5, 11}, {2, 2}};
  for (int row = 0; row < 3; ++row) {
    CHECK(at(row, 0) == place.image(ends[row][0]));
    CHECK(at(row, 3) == place.image(ends[row][1]));
  }
  CHECK(at(0, 1) != at(0, 2));
  for (int step = 0; step < 4; ++step) CHECK(at(2, step) == place.image(2));  // from an image to itself
}

TEST_CASE("the tutorial's interpolation keeps final latents and draws the others", "[cli]") {
  const InterpolationPlace place;
  const Arguments pair{"--data", "tiny", "--pairs", "3:0", "--steps", "3"};
  const nlohmann::json exact = place.numbers(pair), tutorial = place.numbers(pair + Arguments{"--mode", "tutorial"});
  for (int step = 0; step < 3; ++step) {
    const auto norms = [&](const nlohmann::json& rows) { return rows[0]["steps"][step]["norms"]; };
    CHECK(norms(tutorial)["z.final"] == norms(exact)["z.final"]);
    CHECK(norms(tutorial)["z.0"] != norms(exact)["z.0"]);
  }
  CHECK(exact[0]["from"] == 3);
  CHECK(exact[0]["to"] == 0);
  CHECK(exact[0]["steps"][1]["t"] == 0.5);
  CHECK(exact[0]["steps"][1]["bits_per_dim"].is_number());
  CHECK(place.images(pair + Arguments{"--mode", "tutorial"}) == place.images(pair + Arguments{"--mode", "tutorial"}));
  CHECK(place.images(pair + Arguments{"--mode", "tutorial"}) !=
        place.images(pair + Arguments{"--mode", "tutorial", "--seed", "1"}));
}

TEST_CASE("interpolation pairs the images that people bring, and draws a picture unless told otherwise", "[cli]") {
  const InterpolationPlace place;
  const std::vector<std::int64_t> shape{5, 8, 4};
  const std::vector<std::uint8_t> five(place.dataset.test.images.begin(), place.dataset.test.images.begin() + 5 * 32);
  write_npy<std::uint8_t>(place.path("five.npy"), shape, five);
  const std::string said = place.output_of("interpolate", kWeights + Arguments{"--images", "five.npy", "--zoom", "1"});
  CHECK(said == "2 rows of 8 images as a picture: interpolation.png\n");
  // Eight images and nine gaps of 2 pixels beside each other; two and three below.
  const Image picture = read_png(place.path("interpolation.png"));
  CHECK(picture.cols == 8 * 4 + 9 * 2);
  CHECK(picture.rows == 2 * 8 + 3 * 2);
  const std::vector<std::uint8_t> pair = place.images({"--images", "five.npy", "--pairs", "4:1", "--steps", "2"});
  CHECK(pair == [&] {
    std::vector<std::uint8_t> both = place.image(4);
    const std::vector<std::uint8_t> second = place.image(1);
    both.insert(both.end(), second.begin(), second.end());
    return both;
  }());
  CHECK_THAT(place.output_of("interpolate", kWeights + Arguments{"--data", "tiny"}), Contains("4 rows of 8 images"));
}

TEST_CASE("interpolation says what it cannot do", "[cli]") {
  const InterpolationPlace place;
  const auto refusal = [&](const Arguments& more) {
    return place.refusal_of("interpolate", kWeights + Arguments{"--data", "tiny"} + more);
  };
  CHECK_THAT(refusal({"--pairs", "0:12"}), Contains("there is no image 12: there are 12, counted from 0"));
  for (const std::string text : {"0", "0:", ":1", "0:1,", "0-1", "0:1;2:3", "-1:2", "99999999999999999999:1"}) {
    CHECK_THAT(refusal({"--pairs=" + text}), Contains("--pairs") && Contains("0:1,2:3"));
  }
  CHECK_THAT(refusal({"--mode", "fast"}), Contains("'fast'") && Contains("exact or tutorial"));
  CHECK_THAT(refusal({"--path", "curved"}), Contains("'curved'") && Contains("linear or spherical"));
  for (const std::string steps : {"1", "0", "-3", "1001"}) {
    CHECK_THAT(refusal({"--steps", steps}), Contains("--steps must be 2 to 1000"));
  }
  CHECK_THAT(refusal({"--zoom", "0"}), Contains("zoom"));
  CHECK_THAT(refusal({"--out", "x.jpg"}), Contains(".png"));
  CHECK_THAT(refusal({"--images", "x.npy"}), Contains("--images or --data, not both"));
  write_npy<std::uint8_t>(place.path("one.npy"), std::vector<std::int64_t>{1, 8, 4}, place.image(0));
  CHECK_THAT(place.refusal_of("interpolate", kWeights + Arguments{"--images", "one.npy"}), Contains("two images"));
  Flow numbers(FlowConfig::named("moons"));
  numbers.initialize(1);
  numbers.save(place.path("moons.safetensors"));
  CHECK_THAT(place.refusal_of("interpolate", {"--weights", "moons.safetensors"}), Contains("a flow of numbers"));
  CHECK_FALSE(std::filesystem::exists(place.path("interpolation.png")));
}

}  // namespace
}  // namespace flowsmith::core
