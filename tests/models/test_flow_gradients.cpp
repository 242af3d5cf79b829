// The gradients of whole flows. The gradcheck tool runs all of them against differences, which take seconds: here are
// those that have every kind of layer.
#include <algorithm>
#include <catch2/catch.hpp>

#include "models/gradient_suite.h"

namespace flowsmith::core {
namespace {

void check_all(const GradientCase& gradient_case) {
  const std::vector<GradientCheck> checks = gradient_case.run();
  REQUIRE(checks.size() > 20);
  for (const GradientCheck& check : checks) {
    INFO(gradient_case.name << ", " << check.input << " at " << check.where);
    CHECK(check.error <= gradient_case.bound);
  }
}

/// The cases of these models without recompute, each found once.
void check_flows(const std::vector<GradientCase>& cases, const std::vector<std::string>& models) {
  for (const std::string& model : models) {
    int found = 0;
    for (const GradientCase& gradient_case : cases) {
      if (gradient_case.name.find("flow " + model + " (") == std::string::npos) continue;
      if (gradient_case.name.ends_with(" recompute")) continue;
      check_all(gradient_case);
      ++found;
    }
    CHECK(found == 1);
  }
}

}  // namespace

TEST_CASE("the gradients of whole flows are the derivatives of their loss") {
  check_flows(flow_difference_cases(), {"multiscale", "moons", "nice", "glow", "realnvp"});
}

TEST_CASE("the float gradients of whole flows on the CPU are those of the reference") {
  for (const GradientCase& gradient_case : flow_float_cases(Device::kCpu)) check_all(gradient_case);
}

TEST_CASE("the gradients of whole flows by the GPU's kernels are those of the reference", "[gpu]") {
  check_flows(flow_float_cases(Device::kEmulated), {"multiscale", "nice", "glow"});
}

TEST_CASE("gradient cases have names of their own") {
  std::vector<std::string> names;
  for (const GradientCase& gradient_case : all_gradient_cases(Device::kEmulated)) names.push_back(gradient_case.name);
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}

}  // namespace flowsmith::core
