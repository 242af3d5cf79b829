#include <png.h>

#include <catch2/catch.hpp>

#include "data/png.h"
#include "engine/file.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

// Decodes with libpng; also asks that the file is 8-bit grey.
Grid decode(const std::vector<std::byte>& bytes) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  REQUIRE(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) != 0);
  CHECK(image.format == PNG_FORMAT_GRAY);
  Grid grid{static_cast<int>(image.height), static_cast<int>(image.width), {}};
  grid.pixels.resize(PNG_IMAGE_SIZE(image));
  REQUIRE(png_image_finish_read(&image, nullptr, grid.pixels.data(), 0, nullptr) != 0);
  return grid;
}

const std::vector<std::uint8_t> kImages = {1, 2, 3, 4, 5, 6, 7, 8, 9};  // three of 1 x 3

TEST_CASE("a grid lays images out in rows, padded and enlarged", "[png]") {
  const Grid grid = make_grid(kImages.data(), 3, 1, 3, {.columns = 2, .padding = 1, .zoom = 2, .background = 77});
  const std::uint8_t o = 77;
  REQUIRE(grid.rows == 7);
  REQUIRE(grid.cols == 15);
  const std::vector<std::uint8_t> expected = {o, o, o, o, o, o, o, o, o, o, o, o, o, o, o,  //
                                              o, 1, 1, 2, 2, 3, 3, o, 4, 4, 5, 5, 6, 6, o,  //
                                              o, 1, 1, 2, 2, 3, 3, o, 4, 4, 5, 5, 6, 6, o,  //
                                              o, o, o, o, o, o, o, o, o, o, o, o, o, o, o,  //
                                              o, 7, 7, 8, 8, 9, 9, o, o, o, o, o, o, o, o,  //
                                              o, 7, 7, 8, 8, 9, 9, o, o, o, o, o, o, o, o,  //
                                              o, o, o, o, o, o, o, o, o, o, o, o, o, o, o};
  CHECK(grid.pixels == expected);
}

TEST_CASE("a grid is no wider than its images", "[png]") {
  const Grid grid = make_grid(kImages.data(), 3, 1, 3, {.columns = 8, .padding = 0});
  CHECK(grid.rows == 1);
  CHECK(grid.cols == 9);
  CHECK(grid.pixels == kImages);
  CHECK(make_grid(kImages.data(), 1, 3, 3).rows == 7);  // padding 2 by default
}

TEST_CASE("a PNG file holds exactly the grid's pixels", "[png]") {
  TempDir dir;
  std::vector<std::uint8_t> images(5 * 16 * 16);
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<std::uint8_t>(i * 7);
  const GridOptions options{.columns = 3, .padding = 2, .zoom = 3};
  write_png_grid(dir.file("a.png"), images.data(), 5, 16, 16, options);
  const Grid grid = make_grid(images.data(), 5, 16, 16, options);
  const Grid read = decode(read_file(dir.file("a.png"), 1 << 20));
  CHECK(read.rows == grid.rows);
  CHECK(read.cols == grid.cols);
  CHECK(read.pixels == grid.pixels);
}

TEST_CASE("impossible grids are refused", "[png]") {
  const auto complaint = [](int n, int h, int w, GridOptions options) {
    return error_of([&] { make_grid(kImages.data(), n, h, w, options); });
  };
  CHECK_THAT(complaint(0, 1, 3, {}), Contains("no images"));
  CHECK_THAT(complaint(1, 0, 3, {}), Contains("no images"));
  CHECK_THAT(complaint(3, 1, 3, {.columns = 0}), Contains("1 column"));
  CHECK_THAT(complaint(3, 1, 3, {.zoom = 0}), Contains("zoom"));
  CHECK_THAT(complaint(3, 1, 3, {.padding = -1}), Contains("padding"));
  CHECK_THAT(complaint(3, 1, 3, {.zoom = 30000}), Contains("65,535"));
  CHECK_THAT(complaint(3, 1, 3, {.padding = 2147483647}), Contains("65,535"));
  CHECK_THAT(complaint(2147483647, 1, 3, {.columns = 2147483647}), Contains("65,535"));
  CHECK_THAT(complaint(1, 30000, 30000, {}), Contains("256 million"));
  TempDir dir;
  CHECK_THAT(error_of([&] { write_png_grid(dir.file("none/a.png"), kImages.data(), 3, 1, 3); }),
             Contains("none/a.png"));
}

}  // namespace
}  // namespace flowsmith::core
