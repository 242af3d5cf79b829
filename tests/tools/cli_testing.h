// What the tests of the executables share: a folder to work in, and how a refusal looks.
#pragma once

#include <catch2/catch.hpp>

#include "models/flow.h"
#include "tests/support/run_program.h"
#include "tests/support/tiny_dataset.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core {

using Arguments = std::vector<std::string>;

inline Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// A folder, the current one of all programs that run in it. Names in arguments are relative to it.
class Workplace {
 public:
  const TempDir& dir() const { return dir_; }
  std::string path(const std::string& name) const { return dir_.file(name); }
  std::string bytes(const std::string& name) const { return bytes_of(path(name)); }
  bool has(const std::string& name) const { return std::filesystem::exists(path(name)); }

  /// Writes the weights of a flow for the tiny dataset in which every layer acts, and returns its name.
  std::string write_weights(const std::string& name = "w.safetensors", const std::string& model = "simple") const {
    Flow flow(tutorial(model, "2024", 8, 4));
    randomize(flow, 13);
    flow.save(path(name));
    return name;
  }

  static Arguments command(const std::string& tool, const Arguments& arguments) {
    return Arguments{std::string(FLOWSMITH_TOOL_DIR) + "/flowsmith", tool} + arguments;
  }
  /// A training run without the page about it, which takes longer than a run of a few steps.
  static Arguments quick_training(const Arguments& arguments) {
    return command("train", arguments + Arguments{"--no-report"});
  }

  /// Runs a tool; of `train` a quick one.
  Outcome run(const std::string& tool, const Arguments& arguments) const {
    return Program(tool == "train" ? quick_training(arguments) : command(tool, arguments), dir_.path()).wait();
  }

  /// Runs a tool that must succeed and returns its stdout.
  std::string output_of(const std::string& tool, const Arguments& arguments) const {
    const Outcome outcome = run(tool, arguments);
    INFO("flowsmith " << tool << ": " << outcome.err);
    REQUIRE(outcome.code == 0);
    return outcome.out;
  }

  /// Runs a tool that must refuse: exit code 2, one line on stderr, every file as it was. Returns the line.
  std::string refusal_of(const std::string& tool, const Arguments& arguments) const {
    return refusal_of_command(command(tool, arguments), "flowsmith " + tool + ": ");
  }

  std::string refusal_of_command(const Arguments& words, const std::string& beginning) const {
    const auto before = contents_of(dir_.path());
    const Outcome outcome = Program(words, dir_.path()).wait();
    std::string line;
    for (const std::string& word : words) line += word + " ";
    INFO(line << "\n" << outcome.err);
    CHECK(outcome.code == 2);
    CHECK(outcome.err.find('\n') == outcome.err.size() - 1);
    CHECK(outcome.err.starts_with(beginning));
    CHECK(contents_of(dir_.path()) == before);
    return outcome.err;
  }

 private:
  TempDir dir_;
};

}  // namespace flowsmith::core
