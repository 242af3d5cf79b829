// flowsmith ledger: the parts of a score and their sum.
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/png.h"
#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

TEST_CASE("the parts of a ledger add up to what eval says", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 70, 8, 4});
  place.write_weights("w.safetensors", "multiscale");
  const Arguments data{"--weights", "w.safetensors", "--data", "tiny"};
  const std::string text = place.output_of("ledger", data + Arguments{"--json", "l.json", "--out", "l.svg"});
  CHECK_THAT(text, Contains("mean of 70 images with one draw of noise") && Contains("quantisation") &&
                       Contains("flows.0.flows.3") && Contains("total"));
  place.output_of("eval", data + Arguments{"--importance-samples", "1", "--json", "e.json", "--no-timing"});
  const nlohmann::json parts = nlohmann::json::parse(place.bytes("l.json"));
  const nlohmann::json score = nlohmann::json::parse(place.bytes("e.json")).at(0);
  double sum = 0;
  for (const nlohmann::json& part : parts) sum += part["bits_per_dim"].get<double>();
  CHECK(std::abs(sum - score["bits_per_dim"].get<double>()) < 1e-9);
  const std::string chart = place.bytes("l.svg");
  for (const nlohmann::json& part : parts) {
    CHECK_THAT(chart, Contains(">" + part["name"].get<std::string>() + ","));
    if (part["name"] == "quantisation") CHECK(part["bits_per_dim"] == Approx(8).epsilon(1e-14));
    if (part["name"] == "flows.3") CHECK(part["bits_per_dim"] == 0);  // a squeeze
  }
}

TEST_CASE("a ledger of numbers is in nats, and bad input is refused", "[cli]") {
  const Workplace place;
  Flow numbers(FlowConfig::named("moons"));
  numbers.initialize(1);
  numbers.save(place.path("moons.safetensors"));
  const Arguments moons{"--weights", "moons.safetensors"};
  CHECK_THAT(place.output_of("ledger", moons + Arguments{"--limit", "9"}),
             Contains("nats, mean of 9 rows\n") && Contains("Nats"));
  CHECK(read_png(place.path("ledger.png")).channels == 3);
  CHECK_THAT(place.refusal_of("ledger", moons + Arguments{"--limit", "0"}), Contains("--limit must be 1 or more"));
  CHECK_THAT(place.refusal_of("ledger", moons + Arguments{"--json", "x.csv"}), Contains(".json"));
  CHECK_THAT(place.refusal_of("ledger", moons + Arguments{"--out", "x.jpg"}), Contains(".png"));
  CHECK_THAT(place.refusal_of("ledger", moons + Arguments{"--images", "x.npy", "--split", "val"}),
             Contains("not both"));
}

}  // namespace
}  // namespace flowsmith::core
