// The flow that a tool looks at: that of weights, or a new one of a model or configuration.
#pragma once

#include <cxxopts.hpp>
#include <string>

#include "models/flow.h"
#include "models/interchange/checkpoints.h"
#include "tools/model_option.h"
#include "tools/weights_option.h"

namespace flowsmith::core {

/// The options of flow_from beside those of the model.
inline void add_flow_options(cxxopts::Options& options) {
  // clang-format off
  options.add_options()
      ("weights", kWeightsHelp, cxxopts::value<std::string>())
      ("height", "Rows of the images (default: the model's)", cxxopts::value<int>())
      ("width", "Columns of the images (default: the model's)", cxxopts::value<int>())
      ("channels", "1 or 3 colours, or numbers in a vector (default: the model's)", cxxopts::value<int>());
  // clang-format on
  add_model_options(options);
}

/// The flow of --weights, or a new one as the other options say. Throws Error for options that do not go together.
inline Flow flow_from(const cxxopts::ParseResult& options) {
  if (options.count("weights") > 0) {
    for (const std::string name : {"model", "config", "set", "edition", "couplings", "height", "width", "channels"}) {
      if (options.count(name) > 0) throw Error("give --weights or --" + name + ", not both");
    }
    return load_flow(weights_named(options["weights"].as<std::string>()));
  }
  const FlowConfig config = config_from(options);
  const MapShape shape = config.data_shape();
  const auto side = [&](const char* name, int of_config) {
    return options.count(name) > 0 ? options[name].as<int>() : of_config;
  };
  const auto build = [&] {
    Flow flow(config.with_shape(side("height", shape.h), side("width", shape.w), side("channels", shape.c)));
    flow.initialize(42);
    return flow;
  };
  if (options.count("config") == 0) return build();
  try {
    return build();
  } catch (const Error& error) {
    throw Error(options["config"].as<std::string>() + ": " + error.what());
  }
}

}  // namespace flowsmith::core
