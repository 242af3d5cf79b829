// The options of tools that make a new flow: a named model or a configuration file, and changes to either.
#pragma once

#include <algorithm>
#include <cxxopts.hpp>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "models/component.h"
#include "models/config.h"

namespace flowsmith::core {

inline void add_model_options(cxxopts::Options& options) {
  // clang-format off
  options.add_options()
      ("model", "A named model; flowsmith info --list shows them (default: multiscale)", cxxopts::value<std::string>())
      ("config", "A flow described in this JSON file instead (docs/config.md)", cxxopts::value<std::string>())
      ("set", "KEY=VALUE: change one key of it, e.g. layers.0.repeat=16; may be given several times",
       cxxopts::value<std::vector<std::string>>())
      ("edition", "Of the tutorial's models: 2024, 2022 or jax (default: 2024)", cxxopts::value<std::string>())
      ("couplings", "So many couplings, shared out over the scales as the model has them (default: the model's)",
       cxxopts::value<int>());
  // clang-format on
}

inline constexpr const char* kModelOptions[] = {"model", "config", "set", "edition", "couplings"};

/// What the options describe; without --model and --config, changes to `otherwise`. Throws Error naming the option or
/// the file.
inline FlowConfig config_from(const cxxopts::ParseResult& options,
                              const FlowConfig& otherwise = FlowConfig::named("multiscale")) {
  if (options.count("model") > 0 && options.count("config") > 0) throw Error("give --model or --config, not both");
  FlowConfig config = [&] {
    if (options.count("config") > 0) {
      if (options.count("edition") > 0) throw Error("--edition is for --model: a --config file says its own");
      return FlowConfig::read(options["config"].as<std::string>());
    }
    if (options.count("model") == 0 && options.count("edition") == 0) return otherwise;
    std::string name = options.count("model") > 0 ? options["model"].as<std::string>() : otherwise.name();
    if (options.count("model") == 0)
      name.resize(std::min(name.find("_2022"), std::min(name.find("_jax"), name.size())));
    const std::string edition = options.count("edition") > 0 ? options["edition"].as<std::string>() : "2024";
    if (edition != "2024" && edition != "2022" && edition != "jax") {
      throw Error("unknown --edition '" + edition + "': choose 2024, 2022 or jax");
    }
    FlowConfig model = FlowConfig::named(name);  // an unknown name shows before an edition that it has not
    if (edition != "2024") {
      const std::string of_edition = name + "_" + edition;
      const std::vector<std::string> names = FlowConfig::names();
      if (std::find(names.begin(), names.end(), of_edition) == names.end()) {
        throw Error("--edition " + edition + " is for the tutorial's models simple, vardeq and multiscale, not for " +
                    name);
      }
      model = FlowConfig::named(of_edition);
    }
    return model;
  }();
  if (options.count("set") > 0) {
    for (const std::string& change : options["set"].as<std::vector<std::string>>()) {
      const std::size_t equals = change.find('=');
      if (equals == std::string::npos || equals == 0) {
        throw Error("cannot read --set '" + change + "': write it as KEY=VALUE, e.g. layers.0.repeat=16");
      }
      try {
        config = config.with(change.substr(0, equals), change.substr(equals + 1));
      } catch (const Error& error) {
        throw Error("--set " + change + ": " + error.what());
      }
    }
  }
  if (options.count("couplings") > 0) config = config.with_couplings(options["couplings"].as<int>());
  return config;
}

}  // namespace flowsmith::core
