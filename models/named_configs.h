// The texts of models/configs/*.json, which the build puts into the program.
#pragma once

#include <span>
#include <string_view>

namespace flowsmith::core {

struct NamedConfig {
  std::string_view name;  ///< of the file, without .json
  std::string_view text;
};

/// In alphabetical order.
std::span<const NamedConfig> named_configs();

}  // namespace flowsmith::core
