// Films as animated PNG files: every picture comes out again.
#include <zlib.h>

#include <catch2/catch.hpp>

#include "data/apng.h"
#include "engine/file.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;
using Bytes = std::vector<std::byte>;

Image picture_of(int rows, int cols, int channels, int seed) {
  Image image{rows, cols, {}, channels};
  for (int i = 0; i < rows * cols * channels; ++i) image.pixels.push_back(std::uint8_t((i * 31 + seed * 97) % 256));
  return image;
}

std::uint32_t number_at(const Bytes& bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | std::uint32_t(bytes[at + i]);
  return value;
}

struct Chunk {
  std::string type;
  Bytes data, whole;  ///< `whole` with length and check sum
};

/// Of a file whose lengths and check sums are right.
std::vector<Chunk> chunks_of(const Bytes& file) {
  std::vector<Chunk> chunks;
  std::size_t at = 8;
  while (at < file.size()) {
    const std::size_t length = number_at(file, at);
    REQUIRE(at + 12 + length <= file.size());
    Chunk chunk;
    for (std::size_t i = 4; i < 8; ++i) chunk.type += char(file[at + i]);
    const auto begin = file.begin() + std::ptrdiff_t(at);
    chunk.data.assign(begin + 8, begin + 8 + std::ptrdiff_t(length));
    chunk.whole.assign(begin, begin + 12 + std::ptrdiff_t(length));
    const auto* const summed = reinterpret_cast<const Bytef*>(file.data() + at + 4);
    CHECK(crc32(0, summed, uInt(length + 4)) == number_at(file, at + 8 + length));
    chunks.push_back(std::move(chunk));
    at += 12 + length;
  }
  return chunks;
}

Bytes chunk_bytes(const std::string& type, const Bytes& data) {
  Bytes bytes;
  const auto add = [&](std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(std::byte(value >> shift & 255));
  };
  add(std::uint32_t(data.size()));
  for (const char c : type) bytes.push_back(std::byte(c));
  bytes.insert(bytes.end(), data.begin(), data.end());
  add(std::uint32_t(crc32(0, reinterpret_cast<const Bytef*>(bytes.data() + 4), uInt(bytes.size() - 4))));
  return bytes;
}

TEST_CASE("every picture of a film is in it, in order, with its time", "[data]") {
  const TempDir dir;
  for (const int channels : {1, 3}) {
    for (const int count : {1, 2, 5}) {
      INFO(channels << " channels, " << count << " pictures");
      std::vector<Image> pictures;
      for (int k = 0; k < count; ++k) pictures.push_back(picture_of(31, 257, channels, k));
      const Bytes file = encode_apng(pictures, 40, 1500);
      write_file_atomically(dir.file("film.png"), file);
      CHECK(read_png(dir.file("film.png")).pixels == pictures[0].pixels);  // what other viewers show

      const std::vector<Chunk> chunks = chunks_of(file);
      CHECK(chunks[0].type == "IHDR");
      CHECK(chunks[1].type == "acTL");
      CHECK(number_at(chunks[1].data, 0) == std::uint32_t(count));
      CHECK(number_at(chunks[1].data, 4) == 0);
      CHECK(chunks.back().type == "IEND");
      std::uint32_t number = 0;
      std::vector<Bytes> frames;
      for (const Chunk& chunk : chunks) {
        if (chunk.type == "fcTL") {
          CHECK(number_at(chunk.data, 0) == number++);
          CHECK(number_at(chunk.data, 4) == 257);
          CHECK(number_at(chunk.data, 8) == 31);
          const std::uint32_t delay = number_at(chunk.data, 20);
          CHECK(delay >> 16 == (int(frames.size()) + 1 == count ? 1500u : 40u));
          CHECK((delay & 0xffff) == 1000);
          frames.emplace_back();
        } else if (chunk.type == "IDAT") {
          CHECK(frames.size() == 1);
          frames.back().insert(frames.back().end(), chunk.data.begin(), chunk.data.end());
        } else if (chunk.type == "fdAT") {
          CHECK(number_at(chunk.data, 0) == number++);
          frames.back().insert(frames.back().end(), chunk.data.begin() + 4, chunk.data.end());
        }
      }
      REQUIRE(int(frames.size()) == count);
      for (int k = 0; k < count; ++k) {
        Bytes single(file.begin(), file.begin() + 8);
        for (const Bytes& part : {chunks[0].whole, chunk_bytes("IDAT", frames[k]), chunks.back().whole}) {
          single.insert(single.end(), part.begin(), part.end());
        }
        write_file_atomically(dir.file("one.png"), single);
        CHECK(read_png(dir.file("one.png")).pixels == pictures[k].pixels);
      }
    }
  }
}

TEST_CASE("films that cannot be are refused", "[data]") {
  const std::vector<Image> two{picture_of(4, 4, 1, 0), picture_of(4, 5, 1, 0)};
  CHECK_THAT(error_of([&] { encode_apng(two, 40, 40); }), Contains("one size"));
  CHECK_THAT(error_of([&] { encode_apng({}, 40, 40); }), Contains("a picture"));
  CHECK_THAT(error_of([&] { encode_apng(std::span(two).first(1), 0, 40); }), Contains("milliseconds"));
  CHECK_THAT(error_of([&] { encode_apng(std::span(two).first(1), 40, 65536); }), Contains("milliseconds"));
}

}  // namespace
}  // namespace flowsmith::core
