// PNG files made by hand, for the tests of the reader.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace flowsmith::core {

inline std::string big_endian_bytes(std::uint32_t word) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(word >> shift & 0xff);
  return bytes;
}

inline std::string png_chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const auto check = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian_bytes(static_cast<std::uint32_t>(data.size())) + body +
         big_endian_bytes(static_cast<std::uint32_t>(check));
}

/// A file of this size, bit depth and colour type; `lines` are its bytes, each line with its filter byte 0 in front;
/// `extra` are chunks between header and data.
inline std::string png_bytes(std::uint32_t cols, std::uint32_t rows, int depth, int type, const std::string& lines,
                             const std::string& extra = "") {
  uLongf size = compressBound(static_cast<uLong>(lines.size()));
  std::string packed(size, '\0');
  if (compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(lines.data()),
               static_cast<uLong>(lines.size())) != Z_OK) {
    throw std::runtime_error("zlib");
  }
  packed.resize(size);
  const std::string header = big_endian_bytes(cols) + big_endian_bytes(rows) + static_cast<char>(depth) +
                             static_cast<char>(type) + std::string(3, '\0');
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", header) + extra + png_chunk("IDAT", packed) + png_chunk("IEND", "");
}

/// Grey, 8 bit.
inline std::string grey_png(std::uint32_t cols, std::uint32_t rows, std::uint8_t level) {
  std::string lines;
  for (std::uint32_t r = 0; r < rows; ++r) lines += '\0' + std::string(cols, static_cast<char>(level));
  return png_bytes(cols, rows, 8, 0, lines);
}

}  // namespace flowsmith::core
