// The gradients of whole flows. The gradcheck tool runs all six against differences, which take seconds: here is the
// one that has every kind of layer.
#include <algorithm>
#include <catch2/catch.hpp>

#include "models/gradient_suite.h"

namespace flowsmith {
namespace {

void check_all(const GradientCase& gradient_case) {
  const std::vector<GradientCheck> checks = gradient_case.run();
  REQUIRE(checks.size() > 100);
  for (const GradientCheck& check : checks) {
    INFO(gradient_case.name << ", " << check.input << " at " << check.where);
    CHECK(check.error <= gradient_case.bound);
  }
}

}  // namespace

TEST_CASE("the gradients of whole flows are the derivatives of their loss") {
  for (const GradientCase& gradient_case : flow_difference_cases()) {
    if (gradient_case.name.find("multiscale 2024") != std::string::npos) return check_all(gradient_case);
  }
  FAIL("no such flow");
}

TEST_CASE("the float gradients of whole flows on the CPU are those of the reference") {
  for (const GradientCase& gradient_case : flow_float_cases(Device::kCpu)) check_all(gradient_case);
}

TEST_CASE("the gradients of a whole flow by the GPU's kernels are those of the reference", "[gpu]") {
  for (const GradientCase& gradient_case : flow_float_cases(Device::kEmulated)) {
    if (gradient_case.name.find("multiscale 2024") != std::string::npos) return check_all(gradient_case);
  }
  FAIL("no such flow");
}

TEST_CASE("gradient cases have names of their own") {
  std::vector<std::string> names;
  for (const GradientCase& gradient_case : all_gradient_cases(Device::kEmulated)) names.push_back(gradient_case.name);
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}

}  // namespace flowsmith
