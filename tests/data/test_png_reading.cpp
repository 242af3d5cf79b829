#include <catch2/catch.hpp>

#include "data/channels.h"
#include "data/png.h"
#include "tests/data/png_files.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;
using Bytes = std::vector<std::uint8_t>;
using namespace std::string_literals;

Image image_of(const std::string& bytes) {
  TempDir dir;
  return read_png(dir.write("a.png", bytes));
}

std::string complaint_of(const std::string& bytes) {
  TempDir dir;
  dir.write("bad.png", bytes);
  const std::string message = error_of([&] { read_png(dir.file("bad.png")); });
  CHECK_THAT(message, Contains("bad.png"));
  return message;
}

TEST_CASE("8-bit PNG images are read as they are", "[png]") {
  const Image grey = image_of(png_bytes(3, 2, 8, 0, "\0\x01\x02\x03\0\x04\xfe\xff"s));
  CHECK(grey.rows == 2);
  CHECK(grey.cols == 3);
  CHECK(grey.channels == 1);
  CHECK(grey.pixels == Bytes{1, 2, 3, 4, 254, 255});
  const Image colour = image_of(png_bytes(2, 1, 8, 2, "\0\x01\x02\x03\x64\xc8\xff"s));
  CHECK(colour.channels == 3);
  CHECK(colour.pixels == Bytes{1, 2, 3, 100, 200, 255});
}

TEST_CASE("what we write we read", "[png]") {
  TempDir dir;
  Bytes pixels(5 * 7 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 37);
  write_png_grid(dir.file("a.png"), pixels.data(), 1, 5, 7, {.padding = 0, .channels = 3});
  const Image read = read_png(dir.file("a.png"));
  CHECK(read.rows == 5);
  CHECK(read.cols == 7);
  CHECK(read.channels == 3);
  CHECK(read.pixels == pixels);
}

TEST_CASE("other kinds of PNG become 8-bit grey or colour", "[png]") {
  // 16 bits: the nearest of 256 levels, each 257 apart.
  CHECK(image_of(png_bytes(3, 1, 16, 0, "\0\x00\x00\x80\x80\xff\xff"s)).pixels == Bytes{0, 128, 255});
  // One bit.
  CHECK(image_of(png_bytes(4, 1, 1, 0, "\0\xa0"s)).pixels == Bytes{255, 0, 255, 0});
  // A palette of two colours.
  const Image palette =
      image_of(png_bytes(3, 1, 8, 3, "\0\x01\x00\x01"s, png_chunk("PLTE", "\x0a\x14\x1e\xc8\x64\x32"s)));
  CHECK(palette.channels == 3);
  CHECK(palette.pixels == Bytes{200, 100, 50, 10, 20, 30, 200, 100, 50});
  // Transparency over black: nothing of a clear pixel, all of an opaque one, and in between something between.
  const Image alpha = image_of(png_bytes(3, 1, 8, 4, "\0\xc8\x00\xc8\xff\xc8\x80"s));
  CHECK(alpha.channels == 1);
  CHECK(alpha.pixels[0] == 0);
  CHECK(alpha.pixels[1] == 200);
  CHECK(alpha.pixels[2] > 100);  // half of the light looks brighter than half of the byte
  CHECK(alpha.pixels[2] < 200);
  const Image rgba = image_of(png_bytes(2, 1, 8, 6, "\0\x0a\x14\x1e\xff\x0a\x14\x1e\x00"s));
  CHECK(rgba.pixels == Bytes{10, 20, 30, 0, 0, 0});
}

TEST_CASE("grey and colour are converted by luma", "[png]") {
  CHECK(convert_channels({255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255}, 3, 1) == Bytes{76, 150, 29, 255});
  CHECK(convert_channels({7, 200}, 1, 3) == Bytes{7, 7, 7, 200, 200, 200});
  CHECK(convert_channels({1, 2, 3}, 3, 3) == Bytes{1, 2, 3});
}

TEST_CASE("PNG files that are damaged or lie are refused", "[png]") {
  const std::string good = png_bytes(2, 2, 8, 0, "\0\x01\x02\0\x03\x04"s);
  CHECK(image_of(good).pixels == Bytes{1, 2, 3, 4});
  CHECK_THAT(complaint_of(""), Contains("not a PNG"));
  CHECK_THAT(complaint_of("GIF89a and so on, longer than a header"), Contains("not a PNG"));
  for (std::size_t size = 0; size < good.size() - 12; ++size) {  // the chunk IEND alone holds nothing
    INFO(size);
    complaint_of(good.substr(0, size));
  }
  for (const std::size_t at : {30u, 45u}) {  // checksum of the header, packed data
    std::string bent = good;
    bent[at] ^= 0x55;
    CHECK_THAT(complaint_of(bent), Contains("damaged"));
  }
  CHECK_THAT(complaint_of(png_bytes(2, 2, 8, 0, "\0\x01\x02"s)), Contains("damaged"));  // a line too few
  CHECK_THAT(complaint_of(png_bytes(0, 2, 8, 0, ""s)), Contains("header is damaged"));
  CHECK_THAT(complaint_of(png_bytes(2, 2, 8, 5, ""s)), Contains("header is damaged"));
  CHECK_THAT(complaint_of(png_bytes(2, 2, 7, 0, ""s)), Contains("header is damaged"));
  CHECK_THAT(complaint_of(png_bytes(70000, 1, 8, 0, ""s)), Contains("1x70000") && Contains("more than we take"));
  CHECK_THAT(complaint_of(png_bytes(0xffffffff, 0xffffffff, 8, 0, ""s)), Contains("more than we take"));
  CHECK_THAT(complaint_of(png_bytes(60000, 60000, 8, 0, ""s)), Contains("more than we take"));
  CHECK_THAT(complaint_of(png_bytes(16384, 16384, 16, 6, ""s)), Contains("too short"));
  TempDir dir;
  CHECK_THAT(error_of([&] { read_png(dir.file("none.png")); }), Contains("none.png"));
  CHECK_THAT(error_of([&] { read_png_header(dir.path().string()); }), Contains("is a folder"));
}

TEST_CASE("a grid of colour images keeps their channels together", "[png]") {
  const Bytes images = {1, 2, 3, 4, 5, 6};  // two of one pixel
  const Grid grid =
      make_grid(images.data(), 2, 1, 1, {.columns = 2, .padding = 1, .zoom = 1, .background = 9, .channels = 3});
  CHECK(grid.rows == 3);
  CHECK(grid.cols == 5);
  CHECK(grid.channels == 3);
  Bytes expected(3 * 5 * 3, 9);
  std::copy_n(images.begin(), 3, expected.begin() + 3 * (5 + 1));
  std::copy_n(images.begin() + 3, 3, expected.begin() + 3 * (5 + 3));
  CHECK(grid.pixels == expected);
  CHECK_THAT(error_of([&] { make_grid(images.data(), 2, 1, 1, {.channels = 2}); }), Contains("1 channel or 3"));
}

}  // namespace
}  // namespace flowsmith::core
