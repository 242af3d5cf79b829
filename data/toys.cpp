#include "data/toys.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "data/sources.h"
#include "engine/file.h"
#include "kernels/error.h"
#include "kernels/noise_math.h"

namespace flowsmith::core {
namespace {

using std::numbers::pi;

PlanePoint polar(double radius, double angle) { return {radius * std::cos(angle), radius * std::sin(angle)}; }

PlanePoint blurred(PlanePoint at, const ToyDraw& draw, double noise) {
  return {at.x + noise * draw.n1, at.y + noise * draw.n2};
}

// The geometry of scikit-learn's make_moons.
PlanePoint moons(const ToyDraw& draw, double noise) {
  const PlanePoint outer = polar(1, pi * draw.u);
  return blurred(draw.part == 0 ? outer : PlanePoint{1 - outer.x, 0.5 - outer.y}, draw, noise);
}

PlanePoint gaussians(const ToyDraw& draw, double noise) { return blurred(polar(2, pi / 4 * draw.part), draw, noise); }

PlanePoint rings(const ToyDraw& draw, double noise) {
  return blurred(polar(0.75 * (draw.part + 1), 2 * pi * draw.u), draw, noise);
}

// The eight squares of one colour on a board of four by four, each two wide.
PlanePoint checkerboard(const ToyDraw& draw, double noise) {
  const std::uint32_t row = draw.part / 2, column = 2 * (draw.part % 2) + row % 2;
  return blurred({2 * (column + draw.u) - 4, 2 * (row + draw.v) - 4}, draw, noise);
}

// The root makes points equally dense along the arm, which grows longer as it goes out.
PlanePoint spirals(const ToyDraw& draw, double noise) {
  const double angle = 3 * pi * std::sqrt(draw.u);
  return blurred(polar(angle / 3, angle + pi * draw.part), draw, noise);
}

PlanePoint pinwheel(const ToyDraw& draw, double noise) {
  const double along = 1 + 0.3 * draw.n1, across = noise * draw.n2;
  const double angle = 2 * pi / 5 * draw.part + 0.25 * std::exp(along);
  const double c = std::cos(angle), s = std::sin(angle);
  return {2 * (along * c - across * s), 2 * (along * s + across * c)};
}

constexpr std::array<Toy, 6> kToys = {{{"moons", 2, 0.05, moons},
                                       {"gaussians", 8, 0.2, gaussians},
                                       {"rings", 4, 0.08, rings},
                                       {"checkerboard", 8, 0, checkerboard},
                                       {"spirals", 2, 0.1, spirals},
                                       {"pinwheel", 5, 0.1, pinwheel}}};

Examples examples_of(const Toy& toy, double noise, std::uint64_t seed, Subset subset, int count) {
  return {count, {}, toy_points(toy, noise, seed, subset, 0, static_cast<std::uint32_t>(count)), {}};
}

// log of the density of a half circle, (cos a, sin a) for a uniform on [0, pi], blurred by N(0, noise^2 I).
double half_circle_log_density(double x, double y, double noise) {
  // Nodes and weights of Gauss and Legendre's rule of eight points on [-1, 1], which is symmetric.
  constexpr std::array<double, 4> kNodes = {0.1834346424956498, 0.5255324099163290, 0.7966664774136267,
                                            0.9602898564975363};
  constexpr std::array<double, 4> kWeights = {0.3626837833783620, 0.3137066458778873, 0.2223810344533745,
                                              0.1012285362903763};
  const double r = std::hypot(x, y), inverse = 1 / (2 * noise * noise);
  // Against the nearest point of the arc, so that the largest term is about 1.
  const double nearest = y >= 0 ? (r - 1) * (r - 1) : (std::abs(x) - 1) * (std::abs(x) - 1) + y * y;
  const auto term = [&](double a) {
    const double dx = x - std::cos(a), dy = y - std::sin(a);
    return std::exp((nearest - dx * dx - dy * dy) * inverse);
  };
  // As a function of a the integrand is about a bell of width noise / sqrt(r): each panel is no wider than that.
  const double bells = pi * std::sqrt(std::max(r, 1.0)) / noise;
  const int panels = static_cast<int>(std::fmin(std::ceil(bells), 1e6));
  const double half = pi / panels / 2;
  double sum = 0;
  for (int panel = 0; panel < panels; ++panel) {
    const double middle = (2 * panel + 1) * half;
    for (std::size_t k = 0; k < kNodes.size(); ++k) {
      sum += half * kWeights[k] * (term(middle - half * kNodes[k]) + term(middle + half * kNodes[k]));
    }
  }
  return std::log(sum / pi) - nearest * inverse - std::log(2 * pi * noise * noise);
}

}  // namespace

std::span<const Toy> toys() { return kToys; }

const Toy* find_toy(std::string_view name) {
  for (const Toy& toy : kToys) {
    if (toy.name == name) return &toy;
  }
  return nullptr;
}

std::vector<double> toy_points(const Toy& toy, double noise, std::uint64_t seed, Subset subset, std::uint32_t first,
                               std::uint32_t count) {
  const NoiseStream stream{seed, NoisePurpose::kToyData, static_cast<std::uint32_t>(subset)};
  std::vector<double> points;
  points.reserve(2 * std::size_t{count});
  for (std::uint32_t i = first; i < first + count; ++i) {
    const PhiloxCounter uniform = noise_words(stream, i, 0), normal = noise_words(stream, i, 1);
    const NormalPair pair = box_muller(normal[0], normal[1]);
    const PlanePoint point = toy.point(
        {i % toy.parts, word_to_uniform(uniform[0]), word_to_uniform(uniform[1]), pair.first, pair.second}, noise);
    points.push_back(point.x);
    points.push_back(point.y);
  }
  return points;
}

Dataset load_toy(const std::string& name, std::optional<double> noise, std::uint64_t seed) {
  const Toy* const toy = find_toy(name);
  if (toy == nullptr) throw Error("there is no toy density " + in_quotes(name) + "; choose one of docs/datasets.md");
  const double level = noise.value_or(toy->noise);
  if (!(level >= 0 && level <= 100)) {
    throw Error("the noise of " + name + " is " + std::to_string(level) + "; give a number from 0 to 100");
  }
  Dataset dataset;
  dataset.name = name;
  dataset.kind = ExampleKind::kNumbers;
  dataset.rows = dataset.cols = 1;
  dataset.channels = 2;
  dataset.train = examples_of(*toy, level, seed, Subset::kTrain, kToyTrainCount);
  dataset.validation = examples_of(*toy, level, seed, Subset::kValidation, kToyValidationCount);
  dataset.test = examples_of(*toy, level, seed, Subset::kTest, kToyTestCount);
  return dataset;
}

double moons_log_density(double x, double y, double noise) {
  if (!(noise > 0)) throw Error("moons without noise have no density; give a positive noise");
  const double outer = half_circle_log_density(x, y, noise);
  const double inner = half_circle_log_density(1 - x, 0.5 - y, noise);
  const double larger = std::max(outer, inner), smaller = std::min(outer, inner);
  return larger + std::log1p(std::exp(smaller - larger)) - std::log(2.0);
}

}  // namespace flowsmith::core
