// What people may name: weights by a file, a run or a name, lists on the command line, and pipes that end.
#include <algorithm>

#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

TEST_CASE("weights are named by a file, the folder of a run or a name", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 12, 8, 4});
  const Arguments data{"--data", "tiny", "--limit", "4"};
  place.write_weights("a, b.safetensors");
  place.write_weights("c.safetensors", "multiscale");
  const std::string two =
      place.output_of("eval", Arguments{"--weights", "a, b.safetensors", "--weights", "c.safetensors"} + data);
  CHECK_THAT(two, Contains("a, b.safetensors") && Contains(" c.safetensors"));
  CHECK_THAT(place.output_of("eval", Arguments{"--weights", "c.safetensors,c.safetensors"} + data),
             Contains("c.safetensors"));
  CHECK_THAT(place.refusal_of("eval", Arguments{"--weights", ""} + data), Contains("--weights is empty"));

  std::filesystem::create_directories(place.path("run"));
  CHECK_THAT(place.refusal_of("info", {"--weights", "run"}), Contains("run: a folder without weights"));
  place.write_weights("run/last.safetensors", "simple");
  const Outcome last = place.run("info", {"--weights", "run"});
  CHECK(last.err == "weights: run/last.safetensors (the run has no best ones yet)\n");
  CHECK_THAT(last.out, Contains("model simple"));
  place.write_weights("run/best.safetensors", "multiscale");
  const Outcome best = place.run("info", {"--weights", "run/"});
  CHECK_THAT(best.err, Contains("best.safetensors\n"));
  CHECK_THAT(best.out, Contains("model multiscale"));
  CHECK_THAT(place.output_of("sample", {"--weights", "run", "-n", "1"}), Contains("1 sample as a picture"));

  std::filesystem::create_directories(place.path("data/weights"));
  place.write_weights("data/weights/mine.safetensors");
  CHECK_THAT(place.output_of("info", {"--weights", "mine"}), Contains("model simple"));
  CHECK_THAT(place.refusal_of("info", {"--weights", "yours"}), Contains("yours"));
}

TEST_CASE("a list is one value of --set", "[cli]") {
  const Workplace place;
  const std::string text = place.output_of("info", {"--model", "moons", "--set", "layers.0.conditioner.hidden=[8,4]",
                                                    "--set", "layers.0.repeat=2", "--json"});
  std::string dense = text;
  std::erase_if(dense, [](char c) { return c == ' ' || c == '\n'; });
  CHECK_THAT(dense, Contains("\"hidden\":[8,4]") && Contains("\"repeat\":2"));
}

TEST_CASE("train that nobody reads stops quietly with a checkpoint", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 12, 4, 4});
  const Arguments train = Workplace::command(
      "train", {"--model", "simple", "--data", "tiny", "--batch-size", "10", "--threads", "1", "--out", "run"});
  const Outcome outcome =
      Program(Arguments{"/bin/bash", "-c", "\"$@\" | head -n 1; exit ${PIPESTATUS[0]}", "bash"} + train,
              place.dir().path())
          .wait();
  CHECK(outcome.code == 128 + SIGPIPE);
  CHECK(outcome.err.empty());
  CHECK(std::ranges::count(outcome.out, '\n') == 1);
  place.output_of("train", {"--resume", "--out", "run", "--max-steps", "6"});
  const Outcome help =
      Program(Arguments{"/bin/bash", "-c", "\"$@\" --help | head -n 1; exit ${PIPESTATUS[0]}", "bash"} +
                  Workplace::command("info", {}),
              place.dir().path())
          .wait();
  CHECK(help.err.empty());
}

TEST_CASE("what a killed run left half written goes when it goes on", "[cli]") {
  const Workplace place;
  write_tiny_dataset(place.dir(), "tiny", {60, 12, 4, 4});
  const Arguments train{"--model", "simple", "--data", "tiny", "--batch-size", "10", "--threads", "1", "--out", "run"};
  place.output_of("train", train + Arguments{"--max-steps", "1"});
  place.dir().write("run/.last.safetensors.123.0.tmp", "half");
  place.dir().write("run/samples/.best.png.123.0.tmp", "half");
  place.dir().write("run/mine.tmp", "notes");
  place.output_of("train", train + Arguments{"--resume", "--max-steps", "2"});
  for (const auto& [name, bytes] : contents_of(place.path("run"))) CHECK((name == "mine.tmp" || bytes != "half"));
  CHECK(place.bytes("run/mine.tmp") == "notes");
}

}  // namespace
}  // namespace flowsmith::core
