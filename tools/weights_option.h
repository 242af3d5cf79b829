// The weights of a tool that is not told any: those that come with the program.
#pragma once

#include <cxxopts.hpp>
#include <string>

#include "data/shipped.h"
#include "kernels/error.h"

namespace flowsmith {

inline constexpr char kShippedWeights[] = "weights/multiscale.safetensors";
inline constexpr char kShippedWeightsHelp[] = " (default: the multiscale flow of the repository)";

/// Throws Error if they are not there, as for a program that was copied somewhere else.
inline std::string shipped_weights() {
  if (const auto path = find_shipped(kShippedWeights)) return *path;
  throw Error("--weights is missing, and there is no data/" + std::string(kShippedWeights) +
              " here or beside the program: name a weight file, e.g. best.safetensors of a run");
}

/// The value of --weights, or the shipped ones, which are then named on stdout.
inline std::string weights_from(const cxxopts::ParseResult& options) {
  if (options.count("weights") > 0) return options["weights"].as<std::string>();
  const std::string path = shipped_weights();
  std::printf("weights: %s\n", path.c_str());
  return path;
}

}  // namespace flowsmith
