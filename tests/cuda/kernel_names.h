// The kernels of the tree, read from their sources.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

namespace flowsmith::core {

/// Names of all __global__ functions below kernels/cuda (.cu and .h, the emulator left out).
inline std::set<std::string> kernel_names() {
  const std::regex pattern(R"(__global__[^;{]*?(\w+_kernel)\s*\()");
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(FLOWSMITH_SOURCE_DIR) + "/kernels/cuda")) {
    if (entry.path().extension() != ".cu" && entry.path().extension() != ".h") continue;
    std::ifstream file(entry.path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match) {
      names.insert((*match)[1]);
    }
  }
  return names;
}

}  // namespace flowsmith::core
