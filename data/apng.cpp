#include "data/apng.h"

#include <zlib.h>

#include <cstdint>
#include <cstring>
#include <string_view>

#include "kernels/error.h"

namespace flowsmith::core {
namespace {

using Bytes = std::vector<std::byte>;

void append(Bytes& bytes, std::span<const std::byte> more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

void append(Bytes& bytes, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(std::byte(value >> shift & 255));
}

void append_16(Bytes& bytes, int value) {
  bytes.push_back(std::byte(value >> 8 & 255));
  bytes.push_back(std::byte(value & 255));
}

/// Length, type, data, and the check sum of type and data.
void append_chunk(Bytes& file, std::string_view type, std::span<const std::byte> data) {
  append(file, std::uint32_t(data.size()));
  const std::size_t begin = file.size();
  append(file, std::as_bytes(std::span(type)));
  append(file, data);
  append(file, std::uint32_t(crc32(0, reinterpret_cast<const Bytef*>(file.data() + begin), uInt(file.size() - begin))));
}

struct Chunk {
  std::string_view type;
  std::span<const std::byte> data;
};

constexpr std::size_t kSignature = 8, kLengthAndType = 8, kCheckSum = 4;

/// Of a file that encode_png() made.
std::vector<Chunk> chunks_of(std::span<const std::byte> png) {
  std::vector<Chunk> chunks;
  for (std::size_t at = kSignature; at + kLengthAndType <= png.size();) {
    std::uint32_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | std::uint32_t(png[at + i]);
    chunks.push_back(
        {{reinterpret_cast<const char*>(png.data()) + at + 4, 4}, png.subspan(at + kLengthAndType, length)});
    at += kLengthAndType + length + kCheckSum;
  }
  return chunks;
}

/// fcTL: number of the chunk, size, place, seconds as a fraction, and that a picture replaces the one before.
Bytes frame_control(std::uint32_t number, const Image& picture, int milliseconds) {
  Bytes data;
  append(data, number);
  append(data, std::uint32_t(picture.cols));
  append(data, std::uint32_t(picture.rows));
  append(data, std::uint32_t{0});
  append(data, std::uint32_t{0});
  append_16(data, milliseconds);
  append_16(data, 1000);
  append_16(data, 0);
  return data;
}

}  // namespace

std::vector<std::byte> encode_apng(std::span<const Image> pictures, int milliseconds, int last_milliseconds) {
  if (pictures.empty()) throw Error("a film needs a picture");
  for (const int time : {milliseconds, last_milliseconds}) {
    if (time < 1 || time > 65535) throw Error("a picture of a film is shown for 1 to 65,535 milliseconds");
  }
  Bytes file;
  std::uint32_t number = 0;  // of the chunks fcTL and fdAT, in order
  for (const Image& picture : pictures) {
    const Image& first = pictures.front();
    if (picture.rows != first.rows || picture.cols != first.cols || picture.channels != first.channels) {
      throw Error("the pictures of a film must be of one size: there is one of " + std::to_string(picture.rows) + "x" +
                  std::to_string(picture.cols) + " behind one of " + std::to_string(first.rows) + "x" +
                  std::to_string(first.cols));
    }
    const bool is_first = &picture == &pictures.front(), is_last = &picture == &pictures.back();
    const Bytes png = encode_png(picture);
    const auto add_control = [&] {
      append_chunk(file, "fcTL", frame_control(number++, picture, is_last ? last_milliseconds : milliseconds));
    };
    if (is_first) append(file, std::span(png).first(kSignature));
    bool in_data = false;
    for (const Chunk& chunk : chunks_of(png)) {
      if (chunk.type == "IDAT") {
        if (!in_data) add_control();
        in_data = true;
        if (is_first) {
          append_chunk(file, "IDAT", chunk.data);
        } else {
          Bytes data;
          append(data, number++);
          append(data, chunk.data);
          append_chunk(file, "fdAT", data);
        }
      } else if (is_first && chunk.type != "IEND") {
        append_chunk(file, chunk.type, chunk.data);
        if (chunk.type != "IHDR") continue;
        Bytes animation;  // how many pictures, and how often: 0 is for ever
        append(animation, std::uint32_t(pictures.size()));
        append(animation, std::uint32_t{0});
        append_chunk(file, "acTL", animation);
      }
    }
  }
  append_chunk(file, "IEND", {});
  return file;
}

}  // namespace flowsmith::core
