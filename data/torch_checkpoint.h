// The weights in a PyTorch checkpoint, read without PyTorch and without running anything.
#pragma once

#include <string>
#include <vector>

#include "engine/safetensors.h"

namespace flowsmith {

/// The state_dict of a file that torch.save wrote (PyTorch 1.6 or later, little-endian): what stands under the key
/// "state_dict", as in a Lightning checkpoint, or the whole if the file is a bare state_dict. Tensors come in the
/// file's order under their own names, contiguous, as F32, F64, I64, I32 or U8; whatever else the file holds is passed
/// over.
///
/// The file is not trusted. It may mention nothing but plain data and tensors (read_pickle); entries must be stored
/// uncompressed, as torch.save does; sizes are checked against the file, and tensors may take 1 GiB in all. Throws an
/// Error that names the file and what was refused.
std::vector<NamedTensor> read_torch_checkpoint(const std::string& path);

}  // namespace flowsmith
