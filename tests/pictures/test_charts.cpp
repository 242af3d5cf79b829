// Charts: axes, both canvases, and figures by their content.
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "tests/support/temp_dir.h"
#include "tests/support/tiny_dataset.h"
#include "tests/support/tutorial_models.h"
#include "tools/pictures/base64.h"
#include "tools/pictures/figure.h"
#include "tools/pictures/latents_view.h"
#include "tools/pictures/ledger_view.h"
#include "tools/pictures/raster_canvas.h"
#include "tools/pictures/svg_canvas.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

std::array<int, 3> pixel(const Image& image, double x, double y, double scale) {
  const std::size_t at = (std::size_t(y * scale) * std::size_t(image.cols) + std::size_t(x * scale)) * 3;
  return {image.pixels[at], image.pixels[at + 1], image.pixels[at + 2]};
}

std::array<int, 3> numbers(Colour c) { return {c.red, c.green, c.blue}; }

TEST_CASE("ticks are round numbers within the range, and no more than asked for", "[pictures]") {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const Range range :
       {Range{0, 1}, Range{-3.7, 12}, Range{1e-7, 3e-7}, Range{-5e9, 1e12}, Range{5, 5}, Range{0, 0}, Range{2, 1},
        Range{-infinity, infinity}, Range{std::nan(""), 1}, Range{1, 1 + 1e-15}}) {
    for (const bool logarithmic : {false, true}) {
      for (const int most : {1, 2, 5, 31}) {
        const Scale scale(range, logarithmic);
        INFO(range.low << " " << range.high << " " << logarithmic << " " << most);
        REQUIRE(scale.range().low < scale.range().high);
        const std::vector<double> ticks = scale.ticks(most);
        CHECK(ticks.size() <= std::size_t(most) + 1);  // both ends may be ticks
        for (const double tick : ticks) {
          CHECK(scale.place(tick) >= -1e-6);
          CHECK(scale.place(tick) <= 1 + 1e-6);
        }
      }
    }
  }
  CHECK(Scale({0, 1}, false).ticks(5) == std::vector<double>{0, 0.2, 0.4, 2 * 0.2 + 0.2, 0.8, 1});
  CHECK(Scale({1, 1000}, true).ticks(5) == std::vector<double>{1, 10, 100, 1000});
  CHECK(Scale({1, 1000}, true).place(10) == Approx(1.0 / 3));
  CHECK_FALSE(std::isfinite(Scale({1, 1000}, true).place(-1)));
}

TEST_CASE("texts of ticks are as long as they have to be", "[pictures]") {
  CHECK(tick_text(0.25, 0.25) == "0.25");
  CHECK(tick_text(0.5, 0.1) == "0.5");
  CHECK(tick_text(0.05, 0.05) == "0.05");
  CHECK(tick_text(1200, 200) == "1200");
  CHECK(tick_text(0, 0.01) == "0.00");
  CHECK(tick_text(2e-6, 1e-6) == "2e-06");
  CHECK(tick_text(3e6, 1e6) == "3e+06");
}

TEST_CASE("base64 of every remainder", "[pictures]") {
  const auto of = [](std::string_view text) { return base64(std::as_bytes(std::span(text))); };
  CHECK(of("") == "");
  CHECK(of("f") == "Zg==");
  CHECK(of("fo") == "Zm8=");
  CHECK(of("foo") == "Zm9v");
  CHECK(of("foobar\xff") == "Zm9vYmFy/w==");
}

TEST_CASE("what people and files write becomes text in SVG, never marks", "[pictures]") {
  CHECK(escaped("a<b>&\"c'\x01\x7f") == "a&lt;b&gt;&amp;&quot;c&#39;??");
  Figure figure{.title = "</svg><script>alert(1)</script>", .description = "\"><x", .panels = {}};
  figure.panels.push_back(
      Chart{.title = "<b>", .x = {.label = "&"}, .y = {}, .series = {{.name = "<i>", .x = {1}, .y = {2}}}});
  figure.panels.push_back(BarChart{.bars = {{"<u>", 1}}});
  const std::string svg = svg_element(figure);
  for (const char* const mark : {"<script", "<b>", "<i>", "<u>", "<x"}) CHECK_THAT(svg, !Contains(mark));
  CHECK(count_of(svg, "<svg") == count_of(svg, "</svg>"));
  CHECK_THAT(svg, Contains("&lt;script&gt;") && Contains("aria-label=\"&quot;&gt;&lt;x\""));
}

TEST_CASE("texts are cut to a width between letters", "[pictures]") {
  CHECK(fitted("short", 100, 12) == "short");
  const std::string cut = fitted("gr\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc", text_width("12345", 12), 12);
  CHECK(cut == "gr\xc3\xbc..");
  CHECK(fitted("anything", 0, 12) == "..");
}

TEST_CASE("a line has all its points, in pieces between those without a place", "[pictures]") {
  Series line{.x = {0, 1, 2, 3, 4, 5}, .y = {1, 2, std::nan(""), 4, 5, 6}};
  const std::string svg =
      svg_element({.panels = {Chart{.x = {.hidden = true}, .y = {.hidden = true}, .series = {line}}}});
  CHECK(count_of(svg, "<path") == 2);
  CHECK(count_of(svg, "L") == 3);  // 0-1, 3-4-5
  line.tips = true;
  CHECK(count_of(svg_element({.panels = {Chart{.series = {line}}}}), "<title>") == 5);
  // On a logarithmic axis what is not above 0 has no place either.
  Series falling{.x = {0, 1, 2}, .y = {1, -1, 10}};
  const Chart logarithmic{.x = {.hidden = true}, .y = {.logarithmic = true, .hidden = true}, .series = {falling}};
  CHECK(count_of(svg_element({.panels = {logarithmic}}), "<path") == 2);  // two lone points
}

TEST_CASE("bars and heat maps have their colours where they belong", "[pictures]") {
  Chart chart{.x = {.range = Range{0, 2}, .hidden = true}, .y = {.range = Range{0, 1}, .hidden = true}};
  chart.series = {{.kind = Series::Kind::kBars, .x = {0, 1, 2}, .y = {1, 0.5}, .stroke = {.ink = Ink::kBlue}}};
  const Figure bars{.panels = {chart}, .panel_width = 200, .panel_height = 110};
  const Image image = rendered(bars);
  CHECK(image.cols == 2 * 220);
  CHECK(image.rows == 2 * 130);
  CHECK(pixel(image, 60, 30, 2) == numbers(colour_of(Ink::kBlue)));
  CHECK(pixel(image, 160, 100, 2) == numbers(colour_of(Ink::kBlue)));
  CHECK(pixel(image, 160, 30, 2) == std::array{255, 255, 255});

  Chart map{.x = {.hidden = true}, .y = {.hidden = true}};
  map.heat = {.values = {0, 1, 2, 4}, .rows = 2, .columns = 2, .x = {0, 2}, .y = {0, 2}};
  const Image heat = rendered({.panels = {map}, .panel_width = 200, .panel_height = 110});
  CHECK(pixel(heat, 40, 40, 2) == std::array{14, 17, 33});       // the lowest, left above
  CHECK(pixel(heat, 180, 100, 2) == std::array{255, 244, 204});  // the highest, right below
}

TEST_CASE("charts without numbers, with one, or with hostile ones are drawn all the same", "[pictures]") {
  const double huge = std::numeric_limits<double>::max();
  for (const std::vector<double>& y : {std::vector<double>{}, {3}, {0, 0}, {huge, -huge}, {1e-320, 1}, {-1, -2}}) {
    for (const auto kind : {Series::Kind::kLine, Series::Kind::kSpots, Series::Kind::kArea, Series::Kind::kBars}) {
      for (const bool logarithmic : {false, true}) {
        Series series{.kind = kind, .name = "s", .x = {}, .y = y};
        for (std::size_t i = 0; i <= y.size(); ++i) series.x.push_back(double(i));
        Figure figure{.panels = {Chart{.x = {}, .y = {.logarithmic = logarithmic}, .series = {series}}}};
        figure.panels.push_back(BarChart{.bars = {{"b", y.empty() ? std::nan("") : y[0]}}});
        CHECK(rendered(figure).rows > 100);
        const std::string svg = svg_element(figure);
        CHECK_THAT(svg, Contains("</svg>") && !Contains("inf"));
        CHECK(count_of(svg, "nan") == (y.empty() ? 1 : 0));  // the number beside a bar without one
      }
    }
  }
  Figure figure{.panels = {Chart{}}};
  figure.panel_width = 1e6;
  CHECK_THROWS_WITH(rendered(figure), Contains("at most 16,384 a side"));
}

TEST_CASE("a figure becomes what its name says", "[pictures]") {
  const TempDir dir;
  const Figure figure{.title = "t", .description = "d", .panels = {Chart{}}};
  write_figure(dir.file("a.svg"), figure);
  write_figure(dir.file("a.png"), figure);
  CHECK_THAT(read_text_file(dir.file("a.svg"), 1 << 20),
             Catch::StartsWith("<?xml") && Contains("prefers-color-scheme:dark"));
  CHECK(read_png(dir.file("a.png")).channels == 3);
}

TEST_CASE("histograms of latents hold every number", "[pictures]") {
  Flow flow(tutorial("multiscale", "2024", 8, 4));
  randomize(flow, 13);
  ExamplePiece examples;
  for (std::uint32_t i = 0; i < 70; ++i) {
    examples.index.push_back(i);
    for (int k = 0; k < 32; ++k) examples.pixels.push_back(std::uint8_t((i * 37 + std::uint32_t(k) * 11) % 256));
  }
  const auto latents = latents_of_data(flow, examples, 1);
  std::size_t count = 0;
  for (const LatentNumbers& one : latents) {
    double mass = one.below + one.above;
    for (const double density : one.density) mass += density * kLatentBin;
    CHECK(mass == Approx(1).epsilon(1e-9));  // sums of a few thousand shares
    count += one.count;
  }
  CHECK(count == 70 * 32);
  const Figure figure = latents_figure(latents);
  CHECK(figure.panels.size() == latents.size());
  CHECK_THAT(figure.description, Contains("z.final mean"));
}

}  // namespace
}  // namespace flowsmith::core
