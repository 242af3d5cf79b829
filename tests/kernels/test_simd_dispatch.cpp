// The choice of an instruction set, against what the operating system says of the processor.
#include <fstream>
#include <set>
#include <sstream>

#include "tests/support/simd_targets.h"

namespace flowsmith::core::testing {
namespace {

TEST_CASE("the best instruction set is in use, and a portable one comes last") {
  const auto targets = cpu::simd_targets();
  CHECK(cpu::chosen_simd_target() == targets.front());
  CHECK(targets.back() == HWY_STATIC_TARGET);
  CHECK(std::set(targets.begin(), targets.end()).size() == targets.size());
}

#if defined(__x86_64__) && defined(__linux__)
TEST_CASE("all instruction sets that Linux lists are found, and no other") {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line) && !line.starts_with("flags")) continue;
  std::istringstream words(line);
  std::set<std::string> flags;
  for (std::string word; words >> word;) flags.insert(word);
  REQUIRE(flags.count("sse2"));
  const auto all = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (!flags.count(name)) return false;
    }
    return true;
  };
  const bool sse4 = all({"sse4_1", "sse4_2", "pclmulqdq", "aes"});
  const bool avx2 = sse4 && all({"avx2", "fma", "bmi1", "bmi2"});
  const bool avx3 = avx2 && all({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"});
  std::set<std::int64_t> expected{HWY_STATIC_TARGET};
  if (sse4) expected.insert(HWY_TARGETS & HWY_SSE4);
  if (avx2) expected.insert(HWY_TARGETS & HWY_AVX2);
  if (avx3) expected.insert(HWY_TARGETS & HWY_AVX3);
  expected.erase(0);  // not compiled, because the compiler was told to use something better
  const auto targets = cpu::simd_targets();
  CHECK(std::set(targets.begin(), targets.end()) == expected);
}
#endif

}  // namespace
}  // namespace flowsmith::core::testing
