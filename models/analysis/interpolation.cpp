#include "models/analysis/interpolation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/file.h"
#include "engine/tensor.h"

namespace flowsmith {

InterpolationPath parse_interpolation_path(const std::string& text) {
  if (text == "linear") return InterpolationPath::kLinear;
  if (text == "spherical") return InterpolationPath::kSpherical;
  throw Error("unknown path " + in_quotes(text, 40) + ": choose linear or spherical");
}

void interpolate(std::span<double> out, std::span<const double> a, std::span<const double> b, double t,
                 InterpolationPath path) {
  require(out.size() == a.size() && a.size() == b.size(), "the ends of a path are of one size");
  require(t >= 0 && t <= 1, "a point of a path lies between its ends");
  double of_a = 1 - t, of_b = t;
  if (path == InterpolationPath::kSpherical) {
    const double norms = std::sqrt(std::inner_product(a.begin(), a.end(), a.begin(), 0.0)) *
                         std::sqrt(std::inner_product(b.begin(), b.end(), b.begin(), 0.0));
    const double cosine = norms > 0 ? std::inner_product(a.begin(), a.end(), b.begin(), 0.0) / norms : 1;
    const double angle = std::acos(std::clamp(cosine, -1.0, 1.0)), sine = std::sin(angle);
    // Below, the quotient of two small sines has lost half of its digits, and an arc of so little is a line.
    if (sine > 1e-8) {
      of_a = std::sin((1 - t) * angle) / sine;
      of_b = std::sin(t * angle) / sine;
    }
  }
  // The ends as they are: 0 times what is not finite is not 0.
  if (t == 0 || t == 1) {
    std::copy(t == 0 ? a.begin() : b.begin(), t == 0 ? a.end() : b.end(), out.begin());
    return;
  }
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = of_a * a[i] + of_b * b[i];
}

}  // namespace flowsmith
