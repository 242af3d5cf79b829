// The emulator still catches what it must: every planted bug in the builds that can see it, and no correct twin.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <exception>
#include <string>

#include "kernels/cuda/emulator/emulator.h"
#include "kernels/error.h"
#include "tests/cuda/emulator/in_child.h"
#include "tests/cuda/emulator/planted_bugs.h"

namespace flowsmith::core {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitizers = true;
#else
constexpr bool kSanitizers = false;
#endif

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// What a kernel did in one schedule.
struct Result {
  std::string error;  ///< empty: none
  std::vector<float> values;
};

Result run(const PlantedBug& bug, bool planted, const emulator::Schedule& schedule) {
  emulator::set_schedule(schedule);
  Result result;
  try {
    result.values = bug.run(planted);
  } catch (const GpuError& error) {
    result.error = error.what();
    CHECK(result.error.find('\n') == std::string::npos);
    CHECK(result.error.find("_kernel") != std::string::npos);
    CHECK(result.error.find("planted_bugs.cu:") != std::string::npos);
  }
  emulator::set_schedule({});
  return result;
}

TEST_CASE("correct kernels are clean in every schedule and build") {
  for (const PlantedBug& bug : planted_bugs()) {
    INFO(bug.name);
    std::vector<float> first;
    for (const auto& [name, schedule] : emulator::kSchedules) {
      INFO(name);
      const Result result = run(bug, false, schedule);
      CHECK(result.error == "");
      if (first.empty()) first = result.values;
      CHECK(same_bits(result.values, first));
    }
  }
}

TEST_CASE("planted bugs are caught") {
  for (const PlantedBug& bug : planted_bugs()) {
    INFO(bug.name);
    if (kSanitizers && bug.sanitizers) {
      const ChildEnd end = in_child([&] { run(bug, true, {}); });
      CHECK(end.code + end.signal != 0);
      const bool seen =
          end.said.find("AddressSanitizer") != std::string::npos || end.said.find("runtime error") != std::string::npos;
      CHECK(seen);
      continue;
    }
    const char* message = emulator::checks_races() && bug.race_message != nullptr ? bug.race_message : bug.message;
    std::vector<float> first;
    bool differs = false;
    for (const auto& [name, schedule] : emulator::kSchedules) {
      INFO(name);
      const Result result = run(bug, true, schedule);
      if (message != nullptr) {
        CHECK_THAT(result.error, Catch::Contains(message));
        continue;
      }
      CHECK(result.error == "");
      if (first.empty()) first = result.values;
      differs = differs || !same_bits(result.values, first);
      for (float value : result.values) differs = differs || std::isnan(value);
    }
    if (message == nullptr) CHECK(differs == (bug.plain == Plain::kDiffers));
  }
}

}  // namespace
}  // namespace flowsmith::core
