// Words for people.
#pragma once

#include <cstdint>
#include <string>

namespace flowsmith {

/// "1 image", "2 images".
inline std::string counted(std::int64_t count, const std::string& one) {
  return std::to_string(count) + " " + one + (count == 1 ? "" : "s");
}

}  // namespace flowsmith
