// flowsmith train as people use it: start, stop, kill, go on.
#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/idx.h"
#include "data/transposed.h"
#include "engine/safetensors.h"
#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

/// A folder with 50 training images, five steps an epoch: small images, because most of the time goes into the 64
/// samples of each picture.
struct TrainingPlace : Workplace {
  TrainingPlace() { write_tiny_dataset(dir(), "tiny", {60, 12, 4, 4}); }

  static Arguments options(const std::string& out, const Arguments& more = {}) {
    return Arguments{"--model", "simple", "--data", "tiny", "--batch-size", "10", "--threads", "1", "--out", out} +
           more;
  }
  std::string train(const std::string& out, const Arguments& more) const {
    return output_of("train", options(out, more));
  }

  long rows(const std::string& out) const {
    if (!has(out + "/metrics.csv")) return 0;
    return std::ranges::count(bytes(out + "/metrics.csv"), '\n');
  }
  std::string step_of(const std::string& out) const {
    return read_safetensors(path(out + "/last.safetensors")).metadata.at("step");
  }
};

TEST_CASE("train fills its folder and says how to go on", "[cli][training]") {
  const TrainingPlace place;
  const std::string text = place.train("run", {"--max-steps", "3"});
  CHECK_THAT(text, Contains("training simple on tiny, device cpu, 1 thread, batch 10, seed 42"));
  CHECK_THAT(text, Contains("done at step 3") && Contains("\nvalidation ") && Contains("\ntest ") &&
                       Contains("flowsmith eval --weights run/best.safetensors") &&
                       Contains("flowsmith train --resume --out run"));
  int events = 0;
  for (const auto& [name, bytes] : contents_of(place.path("run"))) events += name.starts_with("events.out.tfevents.");
  CHECK(events == 1);
  for (const std::string name : {"config.json", "metrics.csv", "last.safetensors", "best.safetensors",
                                 "samples/step_0000000.png", "samples/step_0000003.png", "samples/best.png"}) {
    INFO(name);
    CHECK(place.has("run/" + name));
  }
  CHECK(place.rows("run") == 6);  // the header, three steps, a validation and a test
  CHECK_THAT(place.output_of("info", {"--weights", "run/last.safetensors"}), Contains("images 4 x 4"));
}

TEST_CASE("without --out runs are numbered, and the newest goes on", "[cli][long][training]") {
  const TrainingPlace place;
  const Arguments options{"--model", "simple", "--data", "tiny", "--batch-size", "10", "--threads", "1"};
  place.output_of("train", options + Arguments{"--max-steps", "1"});
  place.output_of("train", options + Arguments{"--max-steps", "1", "--seed", "5"});
  CHECK(place.step_of("runs/simple") == "1");
  CHECK(place.step_of("runs/simple-2") == "1");
  const std::string first = place.bytes("runs/simple/last.safetensors");
  // Options that are given again must be those of the run; 0.001 is 1e-3.
  place.output_of("train", {"--model", "simple", "--resume", "--max-steps", "2", "--lr", "0.001", "--seed", "5"});
  CHECK(place.step_of("runs/simple-2") == "2");
  CHECK(place.bytes("runs/simple/last.safetensors") == first);
}

/// Options of a run that is over in a moment.
Arguments short_run(const std::string& seed) {
  return {"--model", "moons",     "--data", "rows.csv", "--set", "layers.0.repeat=1", "--batch-size",
          "10",      "--threads", "1",      "--seed",   seed,    "--max-steps",       "1"};
}

TEST_CASE("of two runs that begin in one folder at once, one has it to itself", "[cli][long][training]") {
  const Workplace place;
  std::ofstream rows(place.path("rows.csv"));
  for (int i = 0; i < 40; ++i) rows << i % 7 << "," << i % 5 << "\n";
  rows.close();
  std::map<std::string, std::string> alone;  // by seed
  for (const std::string seed : {"1", "2"}) {
    place.output_of("train", short_run(seed) + Arguments{"--out", "alone" + seed});
    alone[seed] = place.bytes("alone" + seed + "/last.safetensors");
  }
  REQUIRE(alone["1"] != alone["2"]);
  for (int i = 0; i < 100; ++i) {
    CAPTURE(i);
    const std::string out = "pair" + std::to_string(i);
    const auto begin = [&](const std::string& seed) {
      return std::make_unique<Program>(Workplace::quick_training(short_run(seed) + Arguments{"--out", out}),
                                       place.dir().path());
    };
    const auto first = begin("1"), second = begin("2");
    const Outcome one = first->wait(), two = second->wait();
    REQUIRE(one.code + two.code == 2);  // 0 and 2
    const Outcome& refused = one.code == 2 ? one : two;
    CHECK(std::ranges::count(refused.err, '\n') == 1);
    CHECK((refused.err.find("another process is at work in this folder") != std::string::npos ||
           refused.err.find("already holds a run") != std::string::npos));
    const std::string survivor = one.code == 0 ? "1" : "2";
    CHECK(place.bytes(out + "/last.safetensors") == alone[survivor]);
    std::string config = place.bytes("alone" + survivor + "/config.json");
    config.replace(config.find("--out alone" + survivor), ("--out alone" + survivor).size(), "--out " + out);
    CHECK(place.bytes(out + "/config.json") == config);
  }
}

TEST_CASE("of two runs that begin at once without --out, each has a folder", "[cli][long][training]") {
  const Workplace place;
  std::ofstream rows(place.path("rows.csv"));
  for (int i = 0; i < 40; ++i) rows << i % 7 << "," << i % 5 << "\n";
  rows.close();
  for (int i = 0; i < 10; ++i) {
    CAPTURE(i);
    Program first(Workplace::quick_training(short_run("1")), place.dir().path());
    Program second(Workplace::quick_training(short_run("2")), place.dir().path());
    CHECK(first.wait().code == 0);
    CHECK(second.wait().code == 0);
    const auto seed_of = [&](int number) {
      const std::string name = "runs/moons" + (number > 1 ? "-" + std::to_string(number) : "");
      const std::string config = place.bytes(name + "/config.json");
      return config.find("\"seed\": 1,") != std::string::npos ? 1 : 2;
    };
    CHECK(seed_of(2 * i + 1) != seed_of(2 * i + 2));
  }
}

TEST_CASE("a run goes on longer, from another folder, and with its data in another place", "[cli][training]") {
  const TrainingPlace place;
  place.train("run", {"--epochs", "1"});
  std::filesystem::create_directories(place.path("else where"));
  const auto elsewhere = [&](const Arguments& more) {
    return Program(Workplace::quick_training(Arguments{"--resume", "--out", "../run"} + more), place.path("else where"))
        .wait();
  };
  // The name of the data was relative to the first folder.
  const Outcome longer = elsewhere({"--epochs", "2"});
  INFO(longer.err);
  CHECK(longer.code == 0);
  CHECK(place.step_of("run") == "10");
  CHECK_THAT(place.bytes("run/config.json"), Contains("\"epochs\": 2"));
  CHECK_THAT(elsewhere({"--epochs", "1"}).err, Contains("--epochs differs"));

  std::filesystem::rename(place.path("tiny"), place.path("moved"));
  CHECK_THAT(elsewhere({"--epochs", "3"}).err, Contains("tiny"));
  CHECK(elsewhere({"--epochs", "3", "--data", "../moved"}).code == 0);
  CHECK(place.step_of("run") == "15");
  write_tiny_dataset(place.dir(), "others", {61, 12, 4, 4});
  const Outcome others = elsewhere({"--epochs", "4", "--data", "../others"});
  CHECK(others.code == 2);
  CHECK_THAT(others.err, Contains("others") && Contains("not the data that the run in ../run began with"));
  CHECK(elsewhere({"--epochs", "4"}).code == 0);  // knows the new place
}

TEST_CASE("--resume alone takes the newest run of any model", "[cli][training]") {
  const TrainingPlace place;
  const Arguments data{"--data", "tiny", "--batch-size", "10", "--threads", "1", "--max-steps", "1"};
  place.output_of("train", Arguments{"--model", "simple"} + data);
  place.output_of("train", Arguments{"--model", "vardeq"} + data);
  CHECK_THAT(place.output_of("train", {"--resume", "--max-steps", "2"}), Contains("resuming runs/vardeq\n"));
  CHECK(place.step_of("runs/vardeq") == "2");
  place.output_of("train", {"--resume", "--model", "simple", "--max-steps", "3"});
  CHECK_THAT(place.output_of("train", {"--resume", "--max-steps", "4"}), Contains("resuming runs/simple\n"));
  CHECK(place.step_of("runs/simple") == "4");
}

TEST_CASE("weights say what they were trained on, and are scored on it", "[cli][training]") {
  const TrainingPlace place;
  write_tiny_dataset(place.dir(), "others", {60, 12, 4, 4});
  place.train("run", {"--max-steps", "1", "--seed", "7"});
  const Arguments eval{"--weights", "run", "--split", "val", "--no-timing"};
  const Outcome alone = place.run("eval", eval);
  CHECK(alone.code == 0);
  CHECK_THAT(alone.err, Contains("/tiny, parted by seed 7, as run/best.safetensors was trained"));
  // Its validation score, of the same images; the noise is another.
  CHECK_THAT(alone.out, Contains("     10 "));
  CHECK(place.run("eval", eval + Arguments{"--data", "tiny"}).err.find("note") == std::string::npos);
  const Outcome other = place.run("eval", eval + Arguments{"--data", "others"});
  CHECK(other.code == 0);
  CHECK_THAT(other.err, Contains("note: run/best.safetensors was trained on ") && Contains("and this is others"));
  CHECK_THAT(place.run("score", {"--weights", "run"}).err, Contains("parted by seed 7"));
  const std::string config = place.bytes("run/config.json");
  CHECK_THAT(config,
             Contains("\"command\": \"flowsmith train --model simple --data tiny") && Contains("\"version\": \"1.0"));
  const auto metadata = read_safetensors(place.path("run/last.safetensors")).metadata;
  CHECK(metadata.at("seed") == "7");
  CHECK(metadata.at("data") == place.path("tiny"));
  CHECK(metadata.at("version").starts_with("1.0"));
  CHECK(place.output_of("info", {"--version"}).starts_with("flowsmith 1.0"));
}

TEST_CASE("images that are stored column by column are turned for training and scores", "[cli][training]") {
  const TrainingPlace place;
  std::filesystem::create_directories(place.path("turned"));
  const IdxImages train = read_idx_images(place.path("tiny/train-images-idx3-ubyte"));
  const IdxImages test = read_idx_images(place.path("tiny/t10k-images-idx3-ubyte"));
  for (const auto& [name, images] : {std::pair("train", &train), {"t10k", &test}}) {
    std::filesystem::copy_file(place.path(std::string("tiny/") + name + "-labels-idx1-ubyte"),
                               place.path(std::string("turned/") + name + "-labels-idx1-ubyte"));
    const auto pixels = transposed(images->pixels, images->rows, images->cols, 1);
    place.dir().write(
        std::string("turned/") + name + "-images-idx3-ubyte",
        idx_bytes(0x803, {std::uint32_t(images->count), std::uint32_t(images->cols), std::uint32_t(images->rows)},
                  std::string(pixels.begin(), pixels.end())));
  }
  place.train("upright", {"--max-steps", "2"});
  place.train("turned_run", {"--max-steps", "2", "--data", "turned", "--transpose"});
  const auto values = [&](const std::string& run) {
    std::vector<std::byte> all;
    for (const NamedTensor& tensor : read_safetensors(place.path(run + "/last.safetensors")).tensors) {
      all.insert(all.end(), tensor.data.begin(), tensor.data.end());
    }
    return all;
  };
  CHECK(values("upright") == values("turned_run"));
  // The weights know it.
  CHECK(place.output_of("score", {"--weights", "upright"}).substr(0, 200) ==
        place.output_of("score", {"--weights", "turned_run"}).substr(0, 200));
  CHECK_THAT(place.refusal_of("train", {"--model", "moons", "--transpose"}), Contains("--transpose: "));
  // EMNIST's are known by their name, also as people's own.
  std::filesystem::copy_file(place.path("turned/t10k-images-idx3-ubyte"), place.path("emnist-x-images-idx3-ubyte"));
  const auto scores = [&](const std::string& images) {
    return place.run("score", {"--weights", "upright", "--images", images});
  };
  const Outcome turned = scores("emnist-x-images-idx3-ubyte");
  CHECK_THAT(turned.err, Contains("note: images of EMNIST") && Contains("were turned"));
  CHECK(turned.out == scores("tiny/t10k-images-idx3-ubyte").out);
  CHECK(turned.out != scores("turned/t10k-images-idx3-ubyte").out);
}

TEST_CASE("train tells scripts what happens, an object a line", "[cli][training]") {
  const TrainingPlace place;
  const Outcome outcome = place.run("train", TrainingPlace::options("run", {"--max-steps", "2", "--json", "-"}));
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.err, Contains("done at step 2"));
  std::istringstream lines(outcome.out);
  std::vector<nlohmann::json> objects;
  for (std::string line; std::getline(lines, line);) objects.push_back(nlohmann::json::parse(line));
  int steps = 0;
  for (const nlohmann::json& object : objects) {
    if (object.value("phase", "") != "training") continue;
    CHECK(object.at("step") == ++steps);
    CHECK(object.at("loss") > 0);
  }
  CHECK(steps == 2);
  const nlohmann::json& result = objects.back().at("result");
  CHECK(result.at("step") == 2);
  CHECK(result.at("test").at("examples") == 12);
  const nlohmann::json results = nlohmann::json::parse(place.bytes("run/results.json"));
  CHECK(result.at("test").at("mean") == results.at("test_bpd").at("mean"));

  place.output_of("gradcheck", {"--filter", "squeeze", "--json", "g.json"});
  const nlohmann::json gradients = nlohmann::json::parse(place.bytes("g.json"));
  REQUIRE_FALSE(gradients.empty());
  for (const nlohmann::json& row : gradients) CHECK(row.at("ok") == true);
}

TEST_CASE("a killed run goes on to the bytes of one that was not", "[cli][long][training]") {
  const TrainingPlace place;
  Program program(Workplace::quick_training(TrainingPlace::options("killed")), place.dir().path());
  // Beyond the first epoch, whose end wrote a checkpoint: the header, five steps, a validation, two steps.
  REQUIRE(program.wait_until([&] { return place.rows("killed") >= 9; }));
  program.send(SIGKILL);
  CHECK(program.wait().signal == SIGKILL);
  const std::string steps = std::to_string(std::stoi(place.step_of("killed")) + 4);
  place.train("killed", {"--resume", "--max-steps", steps});
  place.train("unbroken", {"--max-steps", steps});
  CHECK(place.bytes("killed/last.safetensors") == place.bytes("unbroken/last.safetensors"));
  CHECK(place.rows("killed") == place.rows("unbroken"));
  for (const auto& [name, bytes] : contents_of(place.path("killed"))) CHECK_THAT(name, !Contains(".tmp"));
}

TEST_CASE("Ctrl-C and SIGTERM stop after the step in hand, with a checkpoint", "[cli][training]") {
  const TrainingPlace place;
  const int signal = GENERATE(SIGINT, SIGTERM);
  Program program(Workplace::quick_training(TrainingPlace::options("run")), place.dir().path());
  REQUIRE(program.wait_until([&] { return place.rows("run") >= 3; }));
  program.send(signal);
  const Outcome outcome = program.wait();
  CHECK(outcome.code == 128 + signal);
  CHECK(outcome.err == "\nstopping after this step; again to stop now\n");
  const std::string step = place.step_of("run");
  CHECK(std::stoi(step) >= 2);
  CHECK_THAT(outcome.out, Contains("stopped at step " + step + ", checkpoint written") &&
                              Contains("flowsmith train --resume --out run"));
  const std::string next = std::to_string(std::stoi(step) + 1);
  CHECK_THAT(place.train("run", {"--resume", "--max-steps", next}), Contains("done at step " + next));
}

TEST_CASE("the second signal ends the run at once and names the checkpoint, which is whole", "[cli][training]") {
  const TrainingPlace place;
  Program program(Workplace::quick_training(TrainingPlace::options("run")), place.dir().path());
  REQUIRE(program.wait_until([&] { return place.rows("run") >= 3; }));
  program.send(SIGINT);
  program.send(SIGTERM);
  const Outcome outcome = program.wait();
  CHECK((outcome.code == 128 + SIGTERM || outcome.code == 128 + SIGINT));  // whichever came second
  CHECK_THAT(outcome.err, Contains("stopping after this step; again to stop now\n") &&
                              Contains("stopped at once; the last checkpoint is run/last.safetensors\n"));
  place.train("run", {"--resume", "--max-steps", std::to_string(std::stoi(place.step_of("run")) + 1)});
}

TEST_CASE("the batch that is said to fit does, in the same folder", "[cli][long][training]") {
  const Workplace place;
  const auto train = [&](int batch, int steps) {
    const Arguments command = Workplace::command(
        "train", {"--data", std::string(FLOWSMITH_SOURCE_DIR) + "/data/mnist", "--model", "simple_2022", "--batch-size",
                  std::to_string(batch), "--max-steps", std::to_string(steps), "--out", "r"});
    const Arguments limited = Arguments{"/bin/sh", "-c", "ulimit -v 1000000; exec \"$@\"", "sh"} + command;
    return Program(limited, place.dir().path()).wait();
  };
  const Outcome refused = train(2000, 1);
  INFO(refused.err);
  CHECK(refused.code == 2);
  CHECK_THAT(refused.err, Contains("(of 2000 images this one is, about ") && Contains("--batch-size"));
  CHECK(!place.has("r"));
  const std::string before = "about ";
  const int fits = std::stoi(refused.err.substr(refused.err.find(before) + before.size()));
  CHECK(fits > 10);
  const Outcome done = train(fits, 2);
  INFO(done.err);
  CHECK(done.code == 0);
}

}  // namespace
}  // namespace flowsmith::core
