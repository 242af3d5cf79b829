// docs/kernels.md and docs/gpu_figures.md name every kernel.
#include <catch2/catch.hpp>

#include "tests/cuda/kernel_names.h"

namespace flowsmith::core {
namespace {

/// Occurrences of __global__ in the sources: what kernel_names() must not miss.
std::size_t count_of_global_functions() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(FLOWSMITH_SOURCE_DIR) + "/kernels/cuda")) {
    if (entry.path().extension() != ".cu" && entry.path().extension() != ".h") continue;
    std::ifstream file(entry.path());
    std::string line;
    while (std::getline(file, line)) {
      const bool comment = line.find("//") < line.find("__global__");
      count += line.find("__global__") != std::string::npos && !comment;
    }
  }
  return count;
}

std::string text_of_document(const std::string& name) {
  std::ifstream file(std::string(FLOWSMITH_SOURCE_DIR) + "/docs/" + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("docs/kernels.md lists every kernel, and no other") {
  const std::set<std::string> names = kernel_names();
  CHECK(names.size() == count_of_global_functions());
  CHECK(names.size() > 20);

  const std::string text = text_of_document("kernels.md");
  REQUIRE_FALSE(text.empty());
  const std::regex pattern(R"(`(\w+_kernel)`)");
  std::set<std::string> listed;
  for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match) {
    listed.insert((*match)[1]);
  }
  CHECK(listed == names);
}

TEST_CASE("docs/gpu_figures.md has a row for every kernel, and for no other") {
  const std::string text = text_of_document("gpu_figures.md");
  REQUIRE_FALSE(text.empty());
  const std::regex pattern(R"(\n\| `(\w+))");  // rows leave out _kernel
  std::set<std::string> listed;
  for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match) {
    listed.insert((*match)[1].str() + "_kernel");
  }
  CHECK(listed == kernel_names());
}

}  // namespace
}  // namespace flowsmith::core
