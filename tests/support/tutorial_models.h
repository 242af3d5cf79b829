// The tutorial's models, in any size.
#pragma once

#include "models/files/tutorial_files.h"

namespace flowsmith::core {

/// "simple", "vardeq" or "multiscale" of the edition "2024" or "2022", for grey images of this size and with so many
/// couplings behind the dequantization.
inline FlowConfig tutorial(const std::string& model, const std::string& edition = "2024", int height = 28,
                           int width = 28, int couplings = 8) {
  return tutorial_config(model, edition).with_couplings(couplings).with_shape(height, width, 1);
}

}  // namespace flowsmith::core
