// The dataset that weights are scored on: that of the options, or the one that they were trained on.
#pragma once

#include <cxxopts.hpp>
#include <string>

#include "models/runs/evaluation.h"

namespace flowsmith::core {

/// What people should know of the examples, on stderr.
inline void say_note(const std::string& note) {
  if (!note.empty()) std::fprintf(stderr, "note: %s\n", note.c_str());
}

struct DatasetChoice {
  std::string source;
  std::uint64_t seed;  ///< that parts it
};

/// Without --data and --seed what the weights say that they were trained on, which is said on stderr: so a validation
/// set is that of the training run. Says, too, if --data is something else. Weights that do not say it have the model's
/// own.
inline DatasetChoice dataset_of(const cxxopts::ParseResult& options, const std::string& weights, const Flow& flow) {
  const std::optional<Origin>& origin = flow.origin();
  DatasetChoice choice{flow.config().training().data, options["seed"].as<std::uint64_t>()};
  if (origin && options.count("seed") == 0) choice.seed = origin->seed;
  if (options.count("data") > 0) {
    choice.source = options["data"].as<std::string>();
    if (origin && lasting_source(choice.source) != origin->data) {
      std::fprintf(stderr, "note: %s was trained on %s, and this is %s\n", weights.c_str(), origin->data.c_str(),
                   choice.source.c_str());
    }
  } else if (origin) {
    choice.source = origin->data;
    std::fprintf(stderr, "data: %s, parted by seed %llu, as %s was trained\n", choice.source.c_str(),
                 static_cast<unsigned long long>(choice.seed), weights.c_str());
  }
  return choice;
}

}  // namespace flowsmith::core
