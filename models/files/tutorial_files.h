// Weight files that do not hold a configuration: the tutorial's PyTorch checkpoints, and files of versions that knew
// the tutorial's models only.
#pragma once

#include "engine/safetensors.h"
#include "models/config.h"

namespace flowsmith::core {

/// The tutorial's model of this name ("simple", "vardeq", "multiscale") and edition ("2024", "2022", "jax"). Throws
/// Error that lists the choices.
FlowConfig tutorial_config(const std::string& model, const std::string& edition);

/// Which of them the tensors of a file are: from the metadata `model`, `edition`, `height`, `width` if present,
/// otherwise from names, shapes and masks; how many couplings it has, from names. Throws Error naming `path` if it is
/// none.
FlowConfig tutorial_config(const SafetensorsFile& file, const std::string& path);

}  // namespace flowsmith::core
