// Toy densities in the plane, on which flows are shown in papers. docs/datasets.md has a picture of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace flowsmith::core {

struct PlanePoint {
  double x = 0;
  double y = 0;
};

/// What a point is made of: independent of those of all other points.
struct ToyDraw {
  std::uint32_t part = 0;  ///< of the toy's equal parts: point i belongs to part i mod Toy::parts
  double u = 0, v = 0;     ///< uniform on (0, 1)
  double n1 = 0, n2 = 0;   ///< standard normal
};

/// A density in the plane: `parts` of equal weight.
struct Toy {
  std::string_view name;
  std::uint32_t parts;
  double noise;  ///< by default
  PlanePoint (*point)(const ToyDraw& draw, double noise);
};

/// moons, gaussians, rings, checkerboard, spirals, pinwheel. docs/datasets.md has the formula of each.
std::span<const Toy> toys();
const Toy* find_toy(std::string_view name);  ///< or nullptr

/// Points first ... first + count - 1 of a subset, (count, 2). Each is a function of toy, noise, seed, subset and its
/// number, and of nothing else.
std::vector<double> toy_points(const Toy& toy, double noise, std::uint64_t seed, Subset subset, std::uint32_t first,
                               std::uint32_t count);

/// Points of each subset of a toy dataset.
constexpr int kToyTrainCount = 50'000, kToyValidationCount = 10'000, kToyTestCount = 50'000;

/// log p(x, y) of the moons with this noise > 0, by quadrature with a relative error of p below 1e-9 up to a distance
/// of 10: the mean of the densities of two half circles, each blurred by N(0, noise^2 I). docs/math/moons_entropy.md.
double moons_log_density(double x, double y, double noise);

}  // namespace flowsmith::core
