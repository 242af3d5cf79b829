// Ways from one latent to another.
#pragma once

#include <span>
#include <string>

#include "models/flow.h"

namespace flowsmith::core {

enum class InterpolationPath {
  kLinear,     ///< (1 - t) a + t b
  kSpherical,  ///< sin((1 - t) w) / sin w a + sin(t w) / sin w b, w the angle between a and b (Shoemake 1985)
};

/// "linear" or "spherical". Throws Error that lists the choices.
InterpolationPath parse_interpolation_path(const std::string& text);

/// The point at t in [0, 1] of the path, which has the bits of a at 0 and those of b at 1. `out`, `a` and `b` are of
/// one size. Spherically, points of one direction, opposite ones and zeros, between which no arc is the shortest, have
/// the linear path.
///
/// A standard normal of many dimensions D lies near the sphere of radius sqrt(D). Halfway on a line between two
/// independent points the norm is sqrt(D / 2): a place where hardly anything lies. Halfway on the arc it is sqrt(D).
void interpolate(std::span<double> out, std::span<const double> a, std::span<const double> b, double t,
                 InterpolationPath path);

struct PairOptions {
  int steps = 8;  ///< images from end to end, both included: 2 or more
  InterpolationPath path = InterpolationPath::kLinear;
  bool final_only = false;  ///< only the final latents are those between the pair; the others are drawn for each image
  std::uint64_t seed = 0;   ///< of what is drawn
};

/// The latents of pairs x steps images. `ends` are those of the pairs, two by two.
Latents latents_between(Flow& flow, Latents ends, int pairs, const PairOptions& options);

/// The latents of examples begin ... begin + n - 1.
Latents slice(const Latents& latents, std::size_t begin, std::size_t n);

}  // namespace flowsmith::core
