// tools/train_in_full.sh: a full run in pieces, each of which begins with what the last one packed.
#include <algorithm>
#include <sstream>

#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

struct PiecewisePlace : Workplace {
  /// 50 steps: enough that the first piece is stopped long before its end.
  PiecewisePlace() { write_tiny_dataset(dir(), "tiny", {300, 12, 4, 4}); }

  /// A piece with run folders and $OUT of its own, as on a machine that was never used before.
  static Arguments piece(const std::string& name, const Arguments& options) {
    return Arguments{std::string(FLOWSMITH_SOURCE_DIR) + "/tools/train_in_full.sh",
                     "--build",
                     std::string(FLOWSMITH_TOOL_DIR) + "/..",
                     "--device",
                     "cpu",
                     "--models",
                     "simple",
                     "--data",
                     "tiny",
                     "--epochs",
                     "2",
                     "--runs",
                     name,
                     "--out",
                     name + "_kept"} +
           options + Arguments{"--", "--batch-size", "10", "--threads", "1"};
  }
  Outcome run_piece(const std::string& name, const Arguments& options) const {
    return Program(piece(name, options), dir().path()).wait();
  }

  /// metrics.csv without the last column, images per second.
  std::string metrics(const std::string& folder) const {
    std::istringstream lines(bytes(folder + "/metrics.csv"));
    std::string all, line;
    while (std::getline(lines, line)) all += line.substr(0, line.rfind(',')) + "\n";
    return all;
  }
};

TEST_CASE("a full run in pieces ends with the bytes of one piece", "[cli][long][training]") {
  const PiecewisePlace place;
  {
    Program first(PiecewisePlace::piece("first", {}), place.dir().path());
    REQUIRE(first.wait_until([&] {
      return place.has("first/simple/metrics.csv") &&
             std::ranges::count(place.bytes("first/simple/metrics.csv"), '\n') >= 3;
    }));
    first.send(SIGTERM);
    const Outcome outcome = first.wait();
    INFO(outcome.err);
    REQUIRE(outcome.code == 3);
    CHECK_THAT(outcome.out, Contains("simple: step "));
    CHECK(!place.has("first/simple/finished"));
  }
  // How far it comes in half a second, if anywhere, depends on the machine.
  const Outcome second = place.run_piece("second", {"--from", "first_kept", "--minutes", "0.01"});
  INFO(second.err);
  REQUIRE((second.code == 3 || second.code == 0));
  const Outcome third = place.run_piece("third", {"--from", "second_kept"});
  INFO(third.err);
  REQUIRE(third.code == 0);
  CHECK_THAT(third.out, Contains("simple: finished, test "));

  place.output_of("train", {"--device", "cpu", "--model", "simple", "--data", "tiny", "--epochs", "2", "--out", "whole",
                            "--batch-size", "10", "--threads", "1"});
  CHECK(place.bytes("third/simple/last.safetensors") == place.bytes("whole/last.safetensors"));
  CHECK(place.bytes("third/simple/best.safetensors") == place.bytes("whole/best.safetensors"));
  CHECK(place.metrics("third/simple") == place.metrics("whole"));
  for (const std::string name : {"commands.txt", "machines.txt", "simple/eval.json", "simple/samples.png"}) {
    INFO(name);
    CHECK(place.has("third/" + name));
  }

  // All is done: nothing is computed again.
  const std::string commands = place.bytes("third/commands.txt");
  CHECK(place.run_piece("third", {}).code == 0);
  CHECK(place.bytes("third/commands.txt") == commands);
  CHECK_THAT(place.refusal_of_command(PiecewisePlace::piece("third", {"--from", "first_kept"}), "train_in_full: "),
             Contains("third/simple/ holds a run"));
}

}  // namespace
}  // namespace flowsmith::core
