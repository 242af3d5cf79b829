// NumPy's .npy files (format 1.0; NEP 1, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "engine/file.h"
#include "engine/safetensors.h"

namespace flowsmith {

/// A .npy file while it is read: any number of elements at a time, in the order of the file.
class NpyFile {
 public:
  /// Reads the header. Throws Error as read_npy() does.
  explicit NpyFile(const std::string& path);

  const std::string& dtype() const { return dtype_; }
  const std::vector<std::int64_t>& shape() const { return shape_; }
  std::uint64_t bytes() const { return bytes_; }  ///< of all elements
  /// The next bytes. Throws Error if the file ends before.
  void read(std::span<std::byte> bytes) { file_.read_exactly(bytes); }

 private:
  InputFile file_;
  std::string dtype_;
  std::vector<std::int64_t> shape_;
  std::uint64_t bytes_ = 0;
};

/// Reads an array of uint8, float32 or float64 (dtype "U8", "F32", "F64"), little-endian, in C order, from a file of
/// format 1.0 or 2.0. Its name is the file's. Throws an Error that names the file if it is cut off, longer than its
/// shape says, of another dtype or order, or no .npy file.
NamedTensor read_npy(const std::string& path);

/// Writes `values` as an array of this shape, format 1.0, atomically. T: uint8_t, float or double. Throws Error if the
/// number of values is not that of the shape or the file cannot be written.
template <class T>
void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const T> values);

}  // namespace flowsmith
