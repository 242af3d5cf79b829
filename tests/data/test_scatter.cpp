#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "data/scatter.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kMax = std::numeric_limits<double>::max();

// Brightness of a pixel of a dark picture.
int light(const Image& image, int row, int col) {
  const std::uint8_t* p = &image.pixels[3 * (std::size_t(row) * image.cols + col)];
  return p[0] + p[1] + p[2];
}

TEST_CASE("a point is drawn where it lies", "[scatter]") {
  // Two points, at (1, 3) and (3, 1) of a square from 0 to 4: the first is left and up.
  const std::vector<double> points = {1, 3, 3, 1, kNan, 2, 2, INFINITY, 100, 100};
  const ScatterOptions options{.size = 80, .square = PlotSquare{0, 0, 4}};
  const Image image = draw_scatter(points, options);
  CHECK(image.rows == 80);
  CHECK(image.cols == 80);
  CHECK(image.channels == 3);
  const int ground = light(image, 0, 0);
  CHECK(light(image, 20, 20) > ground + 100);
  CHECK(light(image, 60, 60) > ground + 100);
  CHECK(light(image, 60, 20) == ground);
  CHECK(light(image, 20, 60) == ground);
  const Image paper = draw_scatter(points, {.size = 80, .dark = false, .square = PlotSquare{0, 0, 4}});
  CHECK(light(paper, 0, 0) == 3 * 255);
  CHECK(light(paper, 20, 20) < 3 * 255 - 100);
}

TEST_CASE("a picture shows the square that points fill", "[scatter]") {
  std::vector<double> points;
  for (int i = 0; i <= 1000; ++i) points.insert(points.end(), {i / 1000.0, 5 + i / 500.0});
  PlotSquare square = square_of(points, 0);
  CHECK(square.side == Approx(2 * 1.15));
  CHECK(square.left + square.side / 2 == Approx(0.5));
  CHECK(square.bottom + square.side / 2 == Approx(6));
  points.insert(points.end(), {1e9, -1e9, kNan, 0});  // strays do not count
  square = square_of(points, 0.01);
  CHECK(square.side < 2.4);
  square = square_of(std::vector<double>{3, 4}, 0);
  CHECK(square.side == 4);
  CHECK(square.left < 3);
  CHECK_NOTHROW(draw_scatter(std::vector<double>{3, 4}));
  CHECK_NOTHROW(draw_scatter(std::vector<double>{1e300, -1e300, 0, 0}));
}

TEST_CASE("what cannot be drawn is refused", "[scatter]") {
  CHECK_THAT(error_of([] { draw_scatter({}); }), Contains("no finite point"));
  CHECK_THAT(error_of([] { draw_scatter(std::vector<double>{kNan, 1}); }), Contains("no finite point"));
  CHECK_THAT(error_of([] {
               draw_scatter(std::vector<double>{kMax, 1, -kMax, 1}, {.tail = 0});
             }),
             Contains("too far apart"));
  CHECK_THAT(error_of([] { draw_scatter(std::vector<double>{1, 2}, {.size = 15}); }), Contains("16 to 8192"));
  TempDir dir;
  CHECK_THAT(error_of([&] {
               write_scatter(dir.file("none/a.png"), std::vector<double>{1, 2});
             }),
             Contains("none/a.png"));
  write_scatter(dir.file("a.png"), std::vector<double>{1, 2, 3, 4});
  CHECK(read_png(dir.file("a.png")).pixels == draw_scatter(std::vector<double>{1, 2, 3, 4}).pixels);
}

}  // namespace
}  // namespace flowsmith::core
