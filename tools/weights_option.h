// The weights that people name, or those that come with the program.
#pragma once

#include <cxxopts.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "data/checkpoint.h"
#include "data/shipped.h"
#include "kernels/error.h"
#include "models/runs/run_folder.h"
#include "tools/files.h"

namespace flowsmith::core {

inline constexpr char kShippedWeights[] = "weights/multiscale.safetensors";
inline constexpr char kShippedWeightsHelp[] = " (default: the multiscale flow of the repository)";
inline constexpr char kWeightsHelp[] =
    "A weight file, a checkpoint of PyTorch or Flax, the folder of a run, or a name in data/weights";

/// Throws Error if they are not there, as for a program that was copied somewhere else.
inline std::string shipped_weights() {
  if (const auto path = find_shipped(kShippedWeights)) return *path;
  throw Error("--weights is missing, and there is no data/" + std::string(kShippedWeights) +
              " here or beside the program: name a weight file, e.g. best.safetensors of a run");
}

/// The file that somebody means: of the folder of a run its best weights, or its last ones if it has none yet, and of a
/// name that is no file the weights in data/ that have it. What was chosen is said on stderr.
inline std::string weights_named(const std::string& name) {
  const auto chosen = [](const std::string& path, const std::string& why) {
    std::fprintf(stderr, "weights: %s%s\n", path.c_str(), why.c_str());
    return path;
  };
  if (name == "-") return input_named(name);
  std::error_code ignored;
  if (std::filesystem::is_directory(name, ignored)) {
    require_open_folder(name);
    refuse_orbax(name);
    const RunFolder run(name);
    if (std::filesystem::exists(run.best(), ignored)) return chosen(run.best(), "");
    if (std::filesystem::exists(run.last(), ignored)) return chosen(run.last(), " (the run has no best ones yet)");
    throw Error(name + ": a folder without weights: name the folder of a run, or a weight file");
  }
  if (!std::filesystem::exists(name, ignored) && name.find('/') == std::string::npos) {
    if (const auto path = find_shipped("weights/" + name + ".safetensors")) return chosen(*path, "");
  }
  if (const std::string_view kind = checkpoint_kind(name); !kind.empty()) {
    return chosen(name, " (a " + std::string(kind) + " checkpoint, imported in memory)");
  }
  return name;
}

/// The value of --weights, or the shipped ones, which are then named on stdout.
inline std::string weights_from(const cxxopts::ParseResult& options) {
  if (options.count("weights") > 0) return weights_named(options["weights"].as<std::string>());
  const std::string path = shipped_weights();
  std::printf("weights: %s\n", path.c_str());
  return path;
}

/// The values of a --weights that may be given several times, each one name or several with commas between them; a file
/// whose own name has a comma is one.
inline std::vector<std::string> all_weights_from(const cxxopts::ParseResult& options) {
  if (options.count("weights") == 0) return {shipped_weights()};
  std::vector<std::string> all;
  for (const std::string& value : options["weights"].as<std::vector<std::string>>()) {
    std::error_code ignored;
    if (std::filesystem::exists(value, ignored)) {
      all.push_back(weights_named(value));
      continue;
    }
    std::size_t begin = 0;
    while (begin <= value.size()) {
      const std::size_t end = std::min(value.find(',', begin), value.size());
      all.push_back(weights_named(value.substr(begin, end - begin)));
      begin = end + 1;
    }
  }
  return all;
}

}  // namespace flowsmith::core
