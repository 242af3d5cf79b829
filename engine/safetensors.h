// The safetensors file format (https://huggingface.co/docs/safetensors): an 8-byte little-endian header length, a JSON
// header, then the tensors' bytes, back to back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/file.h"

namespace flowsmith::core {

/// Bytes of one element of `dtype` (BOOL, U8 to U64, I8 to I64, F16, BF16, F32 or F64); 0 if it is none of these.
std::size_t dtype_size(std::string_view dtype);

/// The elements as doubles; integers beyond 2^53 are rounded.
std::vector<double> numbers_of(std::string_view dtype, std::span<const std::byte> data);

/// Elements of a tensor of this shape (1 for no dimensions). Throws Error naming `what` if a dimension is negative or
/// the product does not fit 63 bits.
std::int64_t element_count(std::span<const std::int64_t> shape, std::string_view what);

/// "(2, 3)" for messages.
std::string shape_text(std::span<const std::int64_t> shape);

/// A tensor as it stands in a file: named, shaped, its elements contiguous in C order.
struct NamedTensor {
  std::string name;
  std::string dtype;  ///< as dtype_size() knows it
  std::vector<std::int64_t> shape;
  std::vector<std::byte> data;

  /// A copy of `values` under `name`. T: uint8_t, int32_t, int64_t, float or double. Throws Error if the number of
  /// values is not that of the shape.
  template <class T>
  static NamedTensor of(std::string name, std::vector<std::int64_t> shape, std::span<const T> values);

  /// The elements, in place. Throws Error naming the tensor if its dtype is not that of T.
  template <class T>
  std::span<const T> as() const;
};

struct SafetensorsFile {
  std::map<std::string, std::string> metadata;
  std::vector<NamedTensor> tensors;  ///< in the order of their bytes in the file

  /// The tensor of this name, or nullptr.
  const NamedTensor* find(std::string_view name) const;
};

/// Reads the whole file. Nothing in it is trusted: any departure from the format (header longer than the file or
/// 100 MB, repeated names, offsets that overlap, leave holes or leave the file, sizes that do not match dtype and
/// shape, unknown dtypes, bytes left over) throws an Error that names the file and the tensor.
SafetensorsFile read_safetensors(const std::string& path);
/// The same of a file of which nothing has been read yet.
SafetensorsFile read_safetensors(InputFile& file);

/// Writes atomically, tensors in the order given, the header padded with spaces so that the data starts at a multiple
/// of 8 bytes. Throws Error if two tensors share a name, a tensor's bytes do not match its dtype and shape, a text is
/// not UTF-8, or the file cannot be written.
void write_safetensors(const std::string& path, const SafetensorsFile& content);

}  // namespace flowsmith::core
