#include "models/analysis/interpolation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/file.h"
#include "engine/tensor.h"

namespace flowsmith::core {

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

namespace {

std::span<double> of_example(Latent& latent, std::size_t i) {
  const std::size_t size = std::size_t(latent.h) * latent.w * latent.c;
  return std::span(latent.values).subspan(i * size, size);
}

}  // namespace

Latents latents_between(Flow& flow, Latents ends, int pairs, const PairOptions& options) {
  const int n = pairs * options.steps;
  Latents all = flow.draw_latents({.count = n, .seed = options.seed});
  for (std::size_t k = options.final_only ? all.size() - 1 : 0; k < all.size(); ++k) {
    for (int i = 0; i < n; ++i) {
      const std::size_t pair = std::size_t(i / options.steps);
      const double t = double(i % options.steps) / (options.steps - 1);
      interpolate(of_example(all[k], std::size_t(i)), of_example(ends[k], 2 * pair), of_example(ends[k], 2 * pair + 1),
                  t, options.path);
    }
  }
  return all;
}

Latents slice(const Latents& latents, std::size_t begin, std::size_t n) {
  Latents some;
  for (const Latent& z : latents) {
    const std::size_t size = std::size_t(z.h) * z.w * z.c;
    const auto first = z.values.begin() + std::ptrdiff_t(begin * size);
    some.push_back({z.name, z.h, z.w, z.c, {first, first + std::ptrdiff_t(n * size)}});
  }
  return some;
}

}  // namespace flowsmith::core
