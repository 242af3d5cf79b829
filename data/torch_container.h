// Where torch.save puts things: a zip file with an entry for the pickle and one for each storage (since PyTorch 1.6),
// or pickles and storages one behind the other (before, and with _use_new_zipfile_serialization=False).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/checkpoint.h"
#include "data/pickle.h"

namespace flowsmith::core {

/// The elements of a storage as its persistent id tells: ('storage', torch.FloatStorage, '17', 'cuda:0', 784).
struct TorchStorageId {
  std::string dtype;  ///< as safetensors calls it, "F32"
  std::string key;    ///< digits
  std::int64_t count = 0;
};

/// Throws Error that begins with `what` unless the value is such an id.
TorchStorageId torch_storage_id(const Pickle& pickle, const PickleValue& reference, const std::string& what);

class TorchContainer {
 public:
  virtual ~TorchContainer() = default;
  /// Of what was saved. Valid as long as this is.
  virtual const Pickle& pickle() const = 0;
  /// The bytes of a storage, or nothing if it is not there. Called once for each key.
  virtual std::optional<std::vector<std::byte>> storage(const std::string& key) = 0;
};

/// Whether a file that begins so is one of torch.save's.
bool looks_like_torch(std::string_view start);

/// Throws Error naming the file if it is neither.
std::unique_ptr<TorchContainer> open_torch_container(std::unique_ptr<InputFile> file);

}  // namespace flowsmith::core
