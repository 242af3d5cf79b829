#include <catch2/catch.hpp>
#include <numeric>

#include "data/idx.h"
#include "engine/file.h"
#include "tests/data/idx_files.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

const std::string kPixels = "abcdefghijkl";  // two images of 2 x 3

std::string images_complaint(const std::string& bytes) {
  TempDir dir;
  dir.write("bad-images", bytes);
  const std::string message = error_of([&] { read_idx_images(dir.file("bad-images")); });
  CHECK_THAT(message, Contains("bad-images"));
  return message;
}

std::string labels_complaint(const std::string& bytes) {
  TempDir dir;
  dir.write("bad-labels", bytes);
  const std::string message = error_of([&] { read_idx_labels(dir.file("bad-labels")); });
  CHECK_THAT(message, Contains("bad-labels"));
  return message;
}

TEST_CASE("IDX images and labels are read plain and packed", "[idx]") {
  TempDir dir;
  const std::string images = idx_bytes(0x803, {2, 2, 3}, kPixels);
  const std::string labels = idx_bytes(0x801, {3}, std::string("\x07\x00\x09", 3));
  for (const bool packed : {false, true}) {
    // The content decides, not the name.
    dir.write("images", packed ? gzip(images) : images);
    dir.write("labels", packed ? gzip(labels) : labels);
    const IdxImages read = read_idx_images(dir.file("images"));
    CHECK(read.count == 2);
    CHECK(read.rows == 2);
    CHECK(read.cols == 3);
    CHECK(std::string(read.pixels.begin(), read.pixels.end()) == kPixels);
    CHECK(read_idx_labels(dir.file("labels")) == std::vector<std::uint8_t>{7, 0, 9});
  }
}

TEST_CASE("IDX files longer than the read buffer arrive whole", "[idx]") {
  TempDir dir;
  std::string pixels(300 * 40 * 50, '\0');  // 600,000 bytes; noise, so that the packed form is as long
  std::uint32_t state = 1;
  for (char& pixel : pixels) pixel = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
  const std::string plain = idx_bytes(0x803, {300, 40, 50}, pixels);
  for (const std::string& bytes : {plain, gzip(plain)}) {
    dir.write("images", bytes);
    const IdxImages read = read_idx_images(dir.file("images"));
    CHECK(std::string(read.pixels.begin(), read.pixels.end()) == pixels);
  }
}

TEST_CASE("the bundled MNIST files hold what MNIST holds", "[idx]") {
  const std::string folder = std::string(FLOWSMITH_SOURCE_DIR) + "/data/mnist/";
  const IdxImages images = read_idx_images(folder + "t10k-images-idx3-ubyte.gz");
  CHECK(images.count == 10000);
  CHECK(images.rows == 28);
  CHECK(images.cols == 28);
  // The CRC-32 of the whole uncompressed file stands at the end of the gzip file and has been checked.
  const std::vector<std::uint8_t> labels = read_idx_labels(folder + "t10k-labels-idx1-ubyte.gz");
  REQUIRE(labels.size() == 10000);
  CHECK(std::vector<std::uint8_t>(labels.begin(), labels.begin() + 5) == std::vector<std::uint8_t>{7, 2, 1, 0, 4});
}

TEST_CASE("IDX files of the wrong kind are refused", "[idx]") {
  CHECK_THAT(images_complaint(idx_bytes(0x801, {1}, "x")), Contains("of 1 dimension") && Contains("images-idx3-ubyte"));
  CHECK_THAT(labels_complaint(idx_bytes(0x803, {1, 1, 1}, "x")), Contains("of 3 dimension") && Contains("labels-idx1"));
  CHECK_THAT(images_complaint(idx_bytes(0xd03, {1, 1, 1}, "xxxx")), Contains("floating-point numbers"));
  CHECK_THAT(images_complaint(idx_bytes(0xf03, {1, 1, 1}, "xxxx")), Contains("not an IDX file"));
  CHECK_THAT(images_complaint(idx_bytes(0xb03, {1, 1, 1}, "\x01\x02")),
             Contains("element 0 is no whole number of 0 to 255"));
  CHECK_THAT(images_complaint(idx_bytes(0x903, {1, 1, 1}, "\xff")),
             Contains("element 0 is no whole number of 0 to 255"));
  CHECK_THAT(images_complaint("\x89PNG\r\n and so on"), Contains("not an IDX file"));
  CHECK_THAT(labels_complaint(gzip("not an IDX file")), Contains("not an IDX file"));
  CHECK_THAT(images_complaint("<!DOCTYPE html><html>404"), Contains("but an HTML page") && Contains("download"));
  CHECK_THAT(images_complaint("version https://git-lfs.github.com/spec/v1"), Contains("git lfs pull"));
}

TEST_CASE("IDX files with impossible sizes are refused before memory is taken", "[idx]") {
  CHECK_THAT(images_complaint(idx_bytes(0x803, {0, 28, 28}, "")), Contains("one of its sizes is 0"));
  CHECK_THAT(labels_complaint(idx_bytes(0x801, {0}, "")), Contains("one of its sizes is 0"));
  CHECK_THAT(images_complaint(idx_bytes(0x803, {65536, 256, 257}, "x")), Contains("more than 4 GiB"));
  CHECK_THAT(images_complaint(idx_bytes(0x803, {0xffffffff, 1, 1}, "x")), Contains("more than 4 GiB"));
  // The product of these is 0 modulo 2^64.
  CHECK_THAT(images_complaint(idx_bytes(0x803, {1u << 31, 1u << 31, 4}, "x")), Contains("more than 4 GiB"));
  CHECK_THAT(images_complaint(idx_bytes(0x803, {4000, 1000, 1000}, kPixels)), Contains("cut off"));
  CHECK_THAT(images_complaint(gzip(idx_bytes(0x803, {4000, 1000, 1000}, kPixels))), Contains("cut off"));
}

TEST_CASE("IDX files cut anywhere are refused", "[idx]") {
  const std::string plain = idx_bytes(0x803, {2, 2, 3}, kPixels);
  for (const std::string& whole : {plain, gzip(plain)}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      INFO(size << " of " << whole.size());
      CHECK_THAT(images_complaint(whole.substr(0, size)), Contains("cut off"));
    }
  }
}

TEST_CASE("IDX files with bytes left over are refused", "[idx]") {
  const std::string plain = idx_bytes(0x801, {2}, "xy");
  CHECK_THAT(labels_complaint(plain + "z"), Contains("bytes follow"));
  CHECK_THAT(labels_complaint(gzip(plain + "z")), Contains("bytes follow"));
  CHECK_THAT(labels_complaint(gzip(plain) + "z"), Contains("bytes follow"));
  CHECK_THAT(labels_complaint(gzip(plain) + gzip(plain)), Contains("bytes follow"));
}

TEST_CASE("damaged gzip data are refused", "[idx]") {
  const std::string whole = gzip(idx_bytes(0x803, {2, 2, 3}, kPixels));
  // The last eight bytes are the checksum and the length.
  for (std::size_t back = 1; back <= 8; ++back) {
    std::string bytes = whole;
    bytes[bytes.size() - back] ^= 0x10;
    INFO("byte " << back << " from the end");
    CHECK_THAT(images_complaint(bytes), Contains("damaged"));
  }
}

TEST_CASE("missing IDX files are named", "[idx]") {
  CHECK_THAT(error_of([] { read_idx_images("/nowhere/images"); }), Contains("'/nowhere/images'"));
}

}  // namespace
}  // namespace flowsmith::core
