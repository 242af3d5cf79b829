// The weights in a checkpoint that another framework wrote: PyTorch (torch_checkpoint.h) or Flax (flax_checkpoint.h).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/file.h"
#include "engine/safetensors.h"

namespace flowsmith::core {

/// Bytes of tensors that a checkpoint may hold.
inline constexpr std::uint64_t kMaxCheckpointBytes = 1 << 30;

/// A set of weights out of a checkpoint, under the names and in the layouts of the tutorial's PyTorch edition.
struct Checkpoint {
  std::vector<NamedTensor> tensors;
  std::string key;                  ///< under which they stood: "state_dict", "ema.model"; empty: the whole file
  std::vector<std::string> others;  ///< where more such sets stand
  std::string edition;              ///< of the tutorial, if the format tells: "jax"
};

/// "PyTorch" or "Flax" if a file begins as their checkpoints do, otherwise empty.
std::string_view checkpoint_kind(const InputFile& file);
/// The same for a path; empty for what is no regular file.
std::string_view checkpoint_kind(const std::string& path);

/// Throws Error if a path names a folder of Orbax, with which newer versions of Flax save by default: it is no file.
void refuse_orbax(const std::string& path);

/// Reads the set under `key`, or without one the likeliest. Nothing in the file is trusted or executed. Throws Error
/// that names the file.
Checkpoint read_checkpoint(std::unique_ptr<InputFile> file, const std::string& key = "");
Checkpoint read_checkpoint(const std::string& path, const std::string& key = "");

}  // namespace flowsmith::core
