// The reference of configurations for people, written from the registry.
#pragma once

#include <string>

namespace flowsmith::core {

/// Markdown tables of every kind of component, its types and their keys, with defaults, choices and ranges: the second
/// part of docs/config.md.
std::string config_reference();

}  // namespace flowsmith::core
