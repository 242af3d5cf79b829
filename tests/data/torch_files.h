// Checkpoints in the form of torch.save made by hand, for the tests of their reader.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/data/zip_files.h"

namespace flowsmith::core {

/// Pieces of a pickle of protocol 2; each leaves one value on the stack.
namespace pickled {

inline std::string word(std::uint32_t value) {
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(value >> shift & 0xff);
  return bytes;
}
inline std::string text(const std::string& value) {
  return "X" + word(static_cast<std::uint32_t>(value.size())) + value;
}
inline std::string integer(std::int64_t value) {
  std::string bytes = "\x8a\x08";
  for (int shift = 0; shift < 64; shift += 8) bytes += static_cast<char>(value >> shift & 0xff);
  return bytes;
}
inline std::string tuple(const std::vector<std::string>& items) {
  std::string bytes = "(";
  for (const std::string& item : items) bytes += item;
  return bytes + "t";
}
inline std::string integers(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const std::int64_t value : values) items.push_back(integer(value));
  return tuple(items);
}
inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string bytes = "}(";
  for (const auto& [key, value] : items) bytes += text(key) + value;
  return bytes + "u";
}
inline std::string storage(const std::string& type, const std::string& key, std::int64_t count) {
  return tuple({text("storage"), "ctorch\n" + type + "\n", text(key), text("cpu"), integer(count)}) + "Q";
}
inline std::string tensor(const std::string& storage, std::int64_t offset, const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& stride) {
  return "ctorch._utils\n_rebuild_tensor_v2\n" +
         tuple({storage, integer(offset), integers(shape), integers(stride), "\x89", "ccollections\nOrderedDict\n)R"}) +
         "R";
}
/// The whole pickle of one value.
inline std::string file(const std::string& value) { return "\x80\x02" + value + "."; }

}  // namespace pickled
}  // namespace flowsmith::core
