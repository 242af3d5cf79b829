#include <catch2/catch.hpp>
#include <cmath>
#include <numbers>

#include "data/png.h"
#include "data/scatter.h"
#include "data/toys.h"
#include "tests/support/error_of.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;
using std::numbers::pi;

constexpr std::uint32_t kMany = 40'000;  // a multiple of every toy's parts

struct Moments {
  double mean_x = 0, mean_y = 0, variance_x = 0, variance_y = 0;
};

Moments moments_of(const std::vector<double>& points) {
  Moments m;
  const double n = double(points.size() / 2);
  for (std::size_t i = 0; i < points.size(); i += 2) {
    m.mean_x += points[i] / n;
    m.mean_y += points[i + 1] / n;
  }
  for (std::size_t i = 0; i < points.size(); i += 2) {
    m.variance_x += std::pow(points[i] - m.mean_x, 2) / n;
    m.variance_y += std::pow(points[i + 1] - m.mean_y, 2) / n;
  }
  return m;
}

// In closed form; docs/datasets.md has the densities.
Moments expected_of(const Toy& toy, double noise) {
  const double s = noise * noise;
  if (toy.name == "moons") return {0.5, 0.25, 0.75 + s, (1.25 - 2 / pi) / 2 - 0.0625 + s};
  if (toy.name == "gaussians") return {0, 0, 2 + s, 2 + s};
  if (toy.name == "rings") return {0, 0, 16.875 / 8 + s, 16.875 / 8 + s};
  if (toy.name == "checkerboard") return {0, 0, 16.0 / 3 + s, 16.0 / 3 + s};
  if (toy.name == "spirals") return {0, 0, (9 * pi * pi / 4 + 0.75) / 9 + s, (9 * pi * pi / 4 - 0.75) / 9 + s};
  if (toy.name == "pinwheel") return {0, 0, 2 * (1.09 + s), 2 * (1.09 + s)};
  FAIL("a toy without closed form");
  return {};
}

TEST_CASE("the moments of toys are those of their densities", "[toys]") {
  CHECK(toys().size() == 6);
  for (const Toy& toy : toys()) {
    for (const double noise : {toy.noise, 0.3}) {
      INFO(toy.name << " with noise " << noise);
      const Moments got = moments_of(toy_points(toy, noise, 5, Subset::kTrain, 0, kMany));
      const Moments want = expected_of(toy, noise);
      // Five standard errors. Of a mean: deviation / sqrt(n). Of a variance: at most about sqrt(2 / n) of it, that of
      // normal numbers; these densities have lighter tails.
      const double mean_error = 5 * std::sqrt(want.variance_x / kMany);
      CHECK(got.mean_x == Approx(want.mean_x).margin(mean_error).epsilon(0));
      CHECK(got.mean_y == Approx(want.mean_y).margin(mean_error).epsilon(0));
      CHECK(got.variance_x == Approx(want.variance_x).epsilon(5 * std::sqrt(2.0 / kMany)));
      CHECK(got.variance_y == Approx(want.variance_y).epsilon(5 * std::sqrt(2.0 / kMany)));
    }
  }
}

TEST_CASE("without noise toys lie on their curves and squares", "[toys]") {
  const auto points_of = [](const char* name) { return toy_points(*find_toy(name), 0, 1, Subset::kTest, 0, 400); };
  const std::vector<double> moons = points_of("moons");
  for (std::size_t i = 0; i < 400; ++i) {
    const double x = moons[2 * i], y = moons[2 * i + 1];
    const bool outer = i % 2 == 0;
    CHECK(std::hypot(outer ? x : 1 - x, outer ? y : 0.5 - y) == Approx(1).epsilon(1e-14));
    CHECK((outer ? y >= 0 : y <= 0.5));
  }
  const std::vector<double> board = points_of("checkerboard");
  for (std::size_t i = 0; i < 400; ++i) {
    const int column = int(std::floor(board[2 * i] / 2)), row = int(std::floor(board[2 * i + 1] / 2));
    CHECK((column + row) % 2 == 0);
    CHECK(std::abs(column + 0.5) < 2);
    CHECK(std::abs(row + 0.5) < 2);
  }
  const std::vector<double> rings = points_of("rings");
  for (std::size_t i = 0; i < 400; ++i) {
    CHECK(std::hypot(rings[2 * i], rings[2 * i + 1]) == Approx(0.75 * double(i % 4 + 1)));
  }
}

TEST_CASE("a toy's point depends on its number, not on its neighbours", "[toys]") {
  for (const Toy& toy : toys()) {
    INFO(toy.name);
    const auto some = [&](std::uint64_t seed, Subset subset, std::uint32_t first, std::uint32_t count) {
      return toy_points(toy, 0.1, seed, subset, first, count);
    };
    const std::vector<double> all = some(3, Subset::kTrain, 0, 50);
    CHECK(some(3, Subset::kTrain, 17, 4) == std::vector<double>(all.begin() + 34, all.begin() + 42));
    CHECK(some(4, Subset::kTrain, 0, 50) != all);
    CHECK(some(3, Subset::kValidation, 0, 50) != all);
    CHECK(some(3, Subset::kTest, 0, 50) != all);
    CHECK(some(3, Subset::kTest, 0, 50) != some(3, Subset::kValidation, 0, 50));
  }
}

TEST_CASE("toys are the same on every machine", "[toys]") {
  // Sums over the first 1000 points of seed 42, each times its number. Half a million in all, each with an error of a
  // few 1e-16 by what a mathematical library rounds: some 1e-10 in the sum.
  const auto sums = [](const char* name) {
    const Toy& toy = *find_toy(name);
    const std::vector<double> points = toy_points(toy, toy.noise, 42, Subset::kTrain, 0, 1000);
    double x = 0, y = 0;
    for (std::size_t i = 0; i < 1000; ++i) {
      x += points[2 * i] * double(i + 1);
      y += points[2 * i + 1] * double(i + 1);
    }
    return std::pair{x, y};
  };
  for (const auto& [name, x, y] : {
           std::tuple{"moons", 259136.8419704861, 123950.0825225276},
           std::tuple{"gaussians", 4498.9653741566, 1063.9755165867},
           std::tuple{"rings", -41766.5688205049, -16958.2682515615},
           std::tuple{"checkerboard", 5527.1049280167, 28063.7809772491},
           std::tuple{"spirals", 27995.1661241565, -13743.8929601599},
           std::tuple{"pinwheel", -979.6335191136, 4664.0788850895},
       }) {
    INFO(name);
    const auto [got_x, got_y] = sums(name);
    CHECK(got_x == Approx(x).margin(1e-7).epsilon(0));
    CHECK(got_y == Approx(y).margin(1e-7).epsilon(0));
  }
}

TEST_CASE("the density of the moons integrates to one and has the entropy of its page", "[toys]") {
  // The sum over a grid is a quadrature without error that counts for a function as smooth as this one: the spectrum of
  // a bell of deviation s falls to exp(-2 (pi s / h)^2) at the grid's frequency, 1e-34 for h = s / 2. Beyond 8 s there
  // is 1e-15 of the mass.
  const double noise = 0.05, h = noise / 2, reach = 8 * noise;
  double mass = 0, entropy = 0;
  for (double y = -0.5 - reach; y <= 1 + reach; y += h) {
    for (double x = -1 - reach; x <= 2 + reach; x += h) {
      const double log_p = moons_log_density(x, y, noise), p = std::exp(log_p) * h * h;
      mass += p;
      entropy -= p * log_p;
    }
  }
  CHECK(mass == Approx(1).epsilon(1e-9));
  CHECK(entropy == Approx(0.28923).margin(5e-6).epsilon(0));  // docs/math/moons_entropy.md

  // The points of the toy have that density: their mean of -log p is the entropy, within five standard errors.
  const Toy& toy = *find_toy("moons");
  REQUIRE(toy.noise == noise);
  const std::vector<double> points = toy_points(toy, noise, 1, Subset::kTest, 0, 5000);
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < 5000; ++i) {
    const double value = -moons_log_density(points[2 * i], points[2 * i + 1], noise);
    sum += value / 5000;
    squares += value * value / 5000;
  }
  CHECK(sum == Approx(entropy).margin(5 * std::sqrt((squares - sum * sum) / 5000)).epsilon(0));
}

TEST_CASE("the density of the moons holds far out and for any noise", "[toys]") {
  // Against Simpson's rule with 2^20 angles, in the logarithm.
  const auto plain = [](double x, double y, double noise) {
    constexpr int kSteps = 1 << 20;
    double largest = -INFINITY, sum = 0;
    for (int pass = 0; pass < 2; ++pass) {
      for (int k = 0; k <= kSteps; ++k) {
        const double a = pi * k / kSteps, weight = (k == 0 || k == kSteps ? 1 : k % 2 == 1 ? 4 : 2) / 6.0;
        for (const auto& [cx, cy] : {std::pair{std::cos(a), std::sin(a)}, {1 - std::cos(a), 0.5 - std::sin(a)}}) {
          const double exponent = -((x - cx) * (x - cx) + (y - cy) * (y - cy)) / (2 * noise * noise);
          if (pass == 0) largest = std::max(largest, exponent);
          if (pass == 1) sum += weight * std::exp(exponent - largest);
        }
      }
    }
    return largest + std::log(sum / kSteps / (2 * pi * noise * noise));
  };
  for (const auto& [x, y, noise] : {std::tuple{0.0, 0.0, 0.05},
                                    {0.5, 0.25, 0.05},
                                    {1.0, 0.0, 0.05},
                                    {-1.0, -0.2, 0.05},
                                    {3.0, -4.0, 0.05},
                                    {0.3, 0.9, 0.01},
                                    {0.2, 1.1, 1.0},
                                    {-7.0, 7.0, 0.5}}) {
    INFO(x << " " << y << " noise " << noise);
    const double got = moons_log_density(x, y, noise);
    CHECK(got == Approx(plain(x, y, noise)).margin(1e-9).epsilon(1e-12));
  }
  CHECK(std::isfinite(moons_log_density(1e4, -1e4, 0.05)));
  CHECK_THAT(error_of([] { moons_log_density(0, 0, 0); }), Contains("positive noise"));
}

// Draws docs/pictures/toys.png anew: bin/test_data "[toys_picture]". Hidden, since it writes into the sources.
TEST_CASE("picture of the toys", "[.][toys_picture]") {
  std::vector<std::uint8_t> pictures;
  constexpr int kSide = 300;
  for (const Toy& toy : toys()) {
    const Image one = draw_scatter(toy_points(toy, toy.noise, 42, Subset::kTrain, 0, kToyTrainCount), {.size = kSide});
    pictures.insert(pictures.end(), one.pixels.begin(), one.pixels.end());
  }
  write_png_grid(FLOWSMITH_SOURCE_DIR "/docs/pictures/toys.png", pictures.data(), int(toys().size()), kSide, kSide,
                 {.columns = 3, .padding = 4, .background = 255, .channels = 3});
}

}  // namespace
}  // namespace flowsmith::core
