// Words for people.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

namespace flowsmith::core {

/// "1 image", "2 images".
inline std::string counted(std::int64_t count, const std::string& one) {
  return std::to_string(count) + " " + one + (count == 1 ? "" : "s");
}

/// `text` with lines of at most `width` columns, broken at spaces; a word that is longer stays whole.
inline std::string wrapped(const std::string& text, std::size_t width) {
  std::string result;
  std::size_t column = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '\n') {
      result += text[at++];
      column = 0;
      continue;
    }
    const std::size_t word = text.find_first_not_of(' ', at);
    const std::size_t end = std::min(text.find_first_of(" \n", std::min(word, text.size())), text.size());
    if (column > 0 && column + (end - at) > width) {
      result += '\n';
      column = 0;
      at = std::min(word, text.size());
    }
    result += text.substr(at, end - at);
    column += end - at;
    at = end;
  }
  return result;
}

}  // namespace flowsmith::core
