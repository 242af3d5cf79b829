// Ways between latents: their ends, their norms, and what has no arc.
#include "models/analysis/interpolation.h"
#include "tests/support/error_of.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

std::vector<double> between(const std::vector<double>& a, const std::vector<double>& b, double t,
                            InterpolationPath path) {
  std::vector<double> out(a.size(), 7);
  interpolate(out, a, b, t, path);
  return out;
}

double norm(const std::vector<double>& values) { return std::sqrt(dot(values, values)); }

TEST_CASE("a path begins and ends with the bits of its ends") {
  for (const std::size_t size : {1, 3, 31, 257}) {
    const auto a = random_normal<double>(size, 1), b = random_normal<double>(size, 2);
    for (const InterpolationPath path : {InterpolationPath::kLinear, InterpolationPath::kSpherical}) {
      CHECK(same_bits(between(a, b, 0, path), a));
      CHECK(same_bits(between(a, b, 1, path), b));
    }
  }
}

TEST_CASE("a line has its points in proportion, an arc its angles") {
  const std::vector<double> x{1, 0}, y{0, 1};
  CHECK(relative_error(between(x, y, 0.25, InterpolationPath::kLinear), std::vector{0.75, 0.25}) < 1e-15);
  const double angle = std::acos(-1.0) / 8;  // a quarter of the quarter of a circle
  const std::vector<double> want{std::cos(angle), std::sin(angle)};
  CHECK(relative_error(between(x, y, 0.25, InterpolationPath::kSpherical), want) < 1e-15);
}

TEST_CASE("an arc between points of one norm keeps it, and a line does not") {
  auto a = random_normal<double>(1000, 1), b = random_normal<double>(1000, 2);
  const double longer = norm(b) / norm(a);
  for (double& value : b) value /= longer;
  for (const double t : {0.1, 0.5, 0.9}) {
    CHECK(norm(between(a, b, t, InterpolationPath::kSpherical)) == Approx(norm(a)).epsilon(1e-13));
  }
  // Two independent directions are nearly at right angles: cos is 0 +- 1 / sqrt(1000).
  CHECK(norm(between(a, b, 0.5, InterpolationPath::kLinear)) == Approx(norm(a) * std::sqrt(0.5)).epsilon(0.1));
}

TEST_CASE("where there is no shortest arc the path is a line") {
  const std::vector<double> a{1, 2, 3}, twice{2, 4, 6}, opposite{-1, -2, -3}, zero{0, 0, 0};
  for (const std::vector<double>& b : {twice, opposite, zero, a}) {
    const std::vector<double> arc = between(a, b, 0.25, InterpolationPath::kSpherical);
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(arc[i] == Approx(0.75 * a[i] + 0.25 * b[i]).margin(1e-12));
  }
  CHECK(between(zero, zero, 0.5, InterpolationPath::kSpherical) == zero);
}

TEST_CASE("paths have names") {
  CHECK(parse_interpolation_path("linear") == InterpolationPath::kLinear);
  CHECK(parse_interpolation_path("spherical") == InterpolationPath::kSpherical);
  CHECK_THAT(error_of([] { parse_interpolation_path("curved"); }), Catch::Contains("choose linear or spherical"));
}

}  // namespace
}  // namespace flowsmith::core::testing
