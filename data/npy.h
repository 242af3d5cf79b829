// NumPy's .npy files (format 1.0; NEP 1, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "engine/safetensors.h"

namespace flowsmith {

/// Reads an array of uint8, float32 or float64 (dtype "U8", "F32", "F64"), little-endian, in C order, from a file of
/// format 1.0 or 2.0. Its name is the file's. Throws an Error that names the file if it is cut off, longer than its
/// shape says, of another dtype or order, or no .npy file.
NamedTensor read_npy(const std::string& path);

/// Writes `values` as an array of this shape, format 1.0, atomically. T: uint8_t, float or double. Throws Error if the
/// number of values is not that of the shape or the file cannot be written.
template <class T>
void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const T> values);

}  // namespace flowsmith
