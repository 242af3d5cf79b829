// The distance of numbers from a standard normal, by hand and of many normals.
#include "models/analysis/normality.h"
#include "tests/support/error_of.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

TEST_CASE("the share below x of a standard normal") {
  CHECK(normal_share(0) == 0.5);
  CHECK(normal_share(1.959963984540054) == Approx(0.975).epsilon(1e-15));
  CHECK(normal_share(-1.959963984540054) == Approx(0.025).epsilon(1e-14));
  CHECK(normal_share(-40) == Approx(0).margin(1e-300));
  CHECK(normal_share(40) == 1);
}

TEST_CASE("normality of a few numbers by hand") {
  const Normality zero = normality({0});
  CHECK(zero.mean == 0);
  CHECK(zero.deviation == 0);
  CHECK(zero.distance == 0.5);  // none below 0 and all up to 0, where a normal has half
  const Normality two = normality({1, -1});
  CHECK(two.mean == 0);
  CHECK(two.deviation == 1);
  CHECK(two.distance == Approx(0.5 - normal_share(-1)).epsilon(1e-15));
  CHECK(normality({-50, -50, -50}).distance == Approx(1).epsilon(1e-15));
  CHECK(normality({50}).distance == Approx(1).epsilon(1e-15));
  CHECK_THAT(error_of([] { normality({}); }), Catch::Contains("nothing"));
}

TEST_CASE("normals are near to normals, others are not") {
  auto values = random_normal<double>(10'000, 1);
  const Normality right = normality(values);
  CHECK(std::abs(right.mean) < 0.04);           // four deviations of a mean of so many
  CHECK(std::abs(right.deviation - 1) < 0.03);  // and of a deviation
  CHECK(right.distance < 1.63 / 100);           // exceeded in one of 100 cases
  for (double& value : values) value += 0.1;
  // A shift moves the shares by at most the density at 0 times it.
  CHECK(normality(values).distance == Approx(0.0399).margin(0.01));
  for (double& value : values) value = 2 * (value - 0.1);
  CHECK(normality(values).deviation == Approx(2 * right.deviation).epsilon(1e-12));
  CHECK(normality(values).distance > 0.15);
}

}  // namespace
}  // namespace flowsmith::core::testing
