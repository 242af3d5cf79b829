// NumPy's .npy files, and .npz files of one array (formats 1 to 3; NEP 1,
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/file.h"
#include "engine/safetensors.h"

namespace flowsmith::core {

/// A .npy file, or a .npz file that holds one array, while it is read: any number of elements at a time, in the order
/// of the file.
class NpyFile {
 public:
  /// Reads the header. Throws Error as read_npy() does.
  explicit NpyFile(const std::string& path);

  const std::string& dtype() const { return dtype_; }  ///< "BOOL", "U8" ... as in engine/safetensors.h
  const std::vector<std::int64_t>& shape() const { return shape_; }
  std::uint64_t bytes() const { return bytes_; }  ///< of all elements
  /// The next bytes, whole elements in C order and this machine's byte order. Throws Error if the file ends before.
  void read(std::span<std::byte> bytes);

 private:
  /// The next bytes of the .npy file.
  void take(std::span<std::byte> bytes);
  /// The one array of a .npz file, which becomes what is read.
  void unpack();
  /// All elements of an array in Fortran order, in C order.
  void reorder();

  InputFile file_;
  std::optional<std::vector<std::byte>> unpacked_;  ///< from a .npz file
  std::size_t taken_ = 0;                           ///< of those
  bool swapped_ = false;                            ///< the bytes of an element
  std::vector<std::byte> reordered_;                ///< of an array in Fortran order
  std::size_t given_ = 0;                           ///< of those
  std::string dtype_;
  std::vector<std::int64_t> shape_;
  std::uint64_t bytes_ = 0;
};

/// Reads an array of numbers: bool, integers of 8 to 64 bits, float16, float32 or float64, in either byte order, in C
/// or Fortran order, from a file of format 1, 2 or 3, or a .npz file that holds one. Its name is the file's. Throws an
/// Error that names the file if it is cut off, longer than its shape says, of another dtype, no .npy file, or a .npz
/// file of several arrays.
NamedTensor read_npy(const std::string& path);

/// Writes `values` as an array of this shape, format 1.0, atomically. T: uint8_t, float or double. Throws Error if the
/// number of values is not that of the shape or the file cannot be written.
template <class T>
void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const T> values);

}  // namespace flowsmith::core
