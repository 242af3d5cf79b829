// The weights in a PyTorch checkpoint, read without PyTorch and without running anything.
#pragma once

#include "data/checkpoint.h"

namespace flowsmith::core {

/// A set of weights in a file that torch.save wrote (as a zip file, or in the older format; little-endian): what stands
/// under `key`, or without one under "state_dict", as in a Lightning checkpoint, the whole if the file is a bare
/// state_dict, or else the first of the dicts that hold tensors only, at any depth, "model_state_dict", "model" and
/// such before others. Tensors come in the file's order, contiguous, with their types (engine/safetensors.h), under
/// their own names but for what wrappers put before all of them ("module.", "_orig_mod.", "model.", "net."); whatever
/// else the file holds is passed over.
///
/// The file is not trusted. It may mention nothing but plain data and tensors (read_pickle); sizes are checked against
/// the file, and tensors may take 1 GiB in all. Throws an Error that names the file and what was refused.
Checkpoint read_torch_checkpoint(std::unique_ptr<InputFile> file, const std::string& key = "");

}  // namespace flowsmith::core
