#include "data/checkpoint.h"

#include <filesystem>

#include "data/flax_checkpoint.h"
#include "data/torch_checkpoint.h"
#include "data/torch_container.h"
#include "engine/file_kind.h"

namespace flowsmith::core {

void refuse_orbax(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) return;
  for (const char* const name : {"_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt"}) {
    if (!std::filesystem::exists(std::filesystem::path(path) / name, ignored)) continue;
    throw Error("cannot read " + in_quotes(path) +
                ": it is a folder of Orbax; restore it in Python and write flax.serialization.to_bytes(params) to a "
                "file");
  }
}

std::string_view checkpoint_kind(const InputFile& file) {
  const std::string start = file.beginning(64);
  return looks_like_torch(start) ? "PyTorch" : looks_like_flax(start) ? "Flax" : "";
}

std::string_view checkpoint_kind(const std::string& path) {
  std::error_code ignored;
  if (is_descriptor(path) || !std::filesystem::is_regular_file(path, ignored)) return "";
  return checkpoint_kind(InputFile(path));
}

Checkpoint read_checkpoint(std::unique_ptr<InputFile> file, const std::string& key) {
  if (checkpoint_kind(*file) == "Flax") return read_flax_checkpoint(*file, key);
  return read_torch_checkpoint(std::move(file), key);
}

Checkpoint read_checkpoint(const std::string& path, const std::string& key) {
  refuse_orbax(path);
  return read_checkpoint(std::make_unique<InputFile>(path), key);
}

}  // namespace flowsmith::core
