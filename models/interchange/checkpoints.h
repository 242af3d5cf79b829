// Flows out of whatever file holds their weights: a weight file of ours, or a checkpoint of PyTorch or Flax.
#pragma once

#include "data/checkpoint.h"
#include "models/flow.h"

namespace flowsmith::core {

/// A checkpoint's tensors as a weight file has them.
SafetensorsFile weights_of(Checkpoint checkpoint);

/// The tensors of a weight file, or of a checkpoint of PyTorch or Flax (data/checkpoint.h), whichever it is; also out
/// of a pipe.
SafetensorsFile read_weights(const std::string& path);

/// Flow::load for any of them.
Flow load_flow(const std::string& path, Device device = Device::kCpu);

}  // namespace flowsmith::core
