// Zip files, as PyTorch's checkpoints and NumPy's .npz are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/file.h"

namespace flowsmith::core {

/// A zip file that nobody vouches for. Errors name the file and the entry.
class ZipFile {
 public:
  /// Lists the entries of an open file, which must outlive this. Throws Error if it is no zip file.
  explicit ZipFile(const InputFile& file);

  std::vector<std::string> names() const;

  /// The bytes of an entry, or nothing if there is none of this name. Throws Error if it is encrypted, damaged, of more
  /// than `max_size` bytes or of more than the file can hold, or compressed by another way than deflate.
  std::optional<std::vector<std::byte>> entry(const std::string& name, std::uint64_t max_size) const;

 private:
  struct Place {
    std::uint64_t position, number;
  };

  const InputFile& file_;
  std::shared_ptr<void> zip_;
  std::map<std::string, Place> entries_;
};

}  // namespace flowsmith::core
