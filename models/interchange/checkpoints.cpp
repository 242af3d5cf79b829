#include "models/interchange/checkpoints.h"

#include <memory>

#include "engine/file.h"

namespace flowsmith::core {

SafetensorsFile weights_of(Checkpoint checkpoint) {
  SafetensorsFile file{{}, std::move(checkpoint.tensors)};
  if (!checkpoint.edition.empty()) file.metadata["edition"] = checkpoint.edition;
  return file;
}

SafetensorsFile read_weights(const std::string& path) {
  refuse_orbax(path);
  auto input = std::make_unique<InputFile>(path);
  if (checkpoint_kind(*input).empty()) return read_safetensors(*input);
  return weights_of(read_checkpoint(std::move(input)));
}

Flow load_flow(const std::string& path, Device device) { return Flow::from_file(read_weights(path), path, device); }

}  // namespace flowsmith::core
