#include "data/png.h"

#include <png.h>

#include <algorithm>
#include <array>
#include <span>

#include "engine/file.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

constexpr std::int64_t kMaxSide = 65535;  // what common viewers still open
constexpr std::int64_t kMaxPixels = 1 << 28;
constexpr std::uint64_t kMaxFile = std::uint64_t{1} << 30;
constexpr std::uint64_t kMaxDeflateRatio = 1032;  // deflate cannot pack tighter

[[noreturn]] void fail(const std::string& path, const std::string& why) {
  throw Error("cannot read " + in_quotes(path) + ": " + why + "; save it again as PNG");
}

std::uint32_t big_endian(const std::uint8_t* b) {
  return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
}

// The signature, then the chunk IHDR: width, height, bits per sample, colour type.
constexpr std::size_t kHeaderSize = 26;

PngHeader parse_header(const std::uint8_t* start, std::uint64_t file_size, const std::string& path) {
  constexpr std::array<std::uint8_t, 16> kStart = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n',
                                                   0,    0,   0,   13,  'I',  'H',  'D',  'R'};
  if (file_size < kHeaderSize || !std::equal(kStart.begin(), kStart.end(), start)) fail(path, "it is not a PNG file");
  const std::int64_t cols = big_endian(start + 16), rows = big_endian(start + 20);
  const int depth = start[24], type = start[25];
  const int samples = type == 0 || type == 3 ? 1 : type == 4 ? 2 : type == 2 ? 3 : type == 6 ? 4 : 0;
  const bool sound = samples > 0 && (depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16);
  if (!sound || cols == 0 || rows == 0) fail(path, "its header is damaged");
  if (cols > kMaxSide || rows > kMaxSide || rows * cols > kMaxPixels) {
    fail(path, "it claims " + std::to_string(rows) + "x" + std::to_string(cols) + " pixels, more than we take");
  }
  const int bits = depth * samples;
  if (static_cast<std::uint64_t>(rows * cols * bits / 8) > file_size * kMaxDeflateRatio) {
    fail(path, "it is too short for the " + std::to_string(rows) + "x" + std::to_string(cols) + " pixels it claims");
  }
  return {static_cast<int>(rows), static_cast<int>(cols), type == 0 || type == 4 ? 1 : 3};
}

}  // namespace

PngHeader read_png_header(const std::string& path) {
  InputFile file(path);
  std::array<std::uint8_t, kHeaderSize> start = {};
  file.read(std::as_writable_bytes(std::span(start)));
  return parse_header(start.data(), file.size(), path);
}

Image read_png(const std::string& path) {
  const std::vector<std::byte> bytes = read_file(path, kMaxFile);
  const PngHeader header = parse_header(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(), path);
  Image image{header.rows, header.cols, {}, header.channels};
  image.pixels.resize(static_cast<std::size_t>(header.rows) * header.cols * header.channels);
  // libpng's simplified interface reports errors by its return value, where the older one jumps over destructors.
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  const png_color black = {};
  bool read = png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()) != 0;
  if (read) {
    png.format = header.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
    png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // what every program but libpng takes 16 bits for
    read = png_image_finish_read(&png, &black, image.pixels.data(), 0, nullptr) != 0;
  }
  if (!read) fail(path, std::string("it is damaged or cut off (libpng: ") + png.message + ")");
  return image;
}

Grid measure_grid(int n, int h, int w, const GridOptions& options) {
  if (n <= 0 || h <= 0 || w <= 0) throw Error("a grid of no images was asked for; give at least one image");
  if (options.columns <= 0 || options.zoom <= 0 || options.padding < 0) {
    throw Error("a grid needs at least 1 column, a zoom of at least 1 and no negative padding; correct the option");
  }
  if (options.channels != 1 && options.channels != 3) throw Error("a grid has 1 channel or 3; choose one of them");
  const std::int64_t columns = std::min(n, options.columns);
  const std::int64_t lines = (n + columns - 1) / columns;
  const std::int64_t cell_rows = std::int64_t{h} * options.zoom + options.padding;
  const std::int64_t cell_cols = std::int64_t{w} * options.zoom + options.padding;
  // Divided, not multiplied, so that nothing can overflow.
  if (cell_rows > (kMaxSide - options.padding) / lines || cell_cols > (kMaxSide - options.padding) / columns) {
    throw Error(
        "a grid of " + std::to_string(n) + " images in " + std::to_string(columns) +
        " columns would exceed 65,535 pixels a side; take fewer images, another number of columns or less zoom");
  }
  if ((options.padding + lines * cell_rows) * (options.padding + columns * cell_cols) > kMaxPixels) {
    throw Error("a grid of " + std::to_string(n) + " images would exceed 256 million pixels; take fewer or less zoom");
  }
  Grid grid;
  grid.rows = static_cast<int>(options.padding + lines * cell_rows);
  grid.cols = static_cast<int>(options.padding + columns * cell_cols);
  grid.channels = options.channels;
  return grid;
}

Grid make_grid(const std::uint8_t* images, int n, int h, int w, const GridOptions& options) {
  Grid grid = measure_grid(n, h, w, options);
  const std::int64_t columns = std::min(n, options.columns);
  const std::int64_t cell_rows = std::int64_t{h} * options.zoom + options.padding;
  const std::int64_t cell_cols = std::int64_t{w} * options.zoom + options.padding;
  const std::int64_t channels = options.channels;
  grid.pixels.assign(static_cast<std::size_t>(grid.rows) * static_cast<std::size_t>(grid.cols * channels),
                     options.background);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t top = options.padding + i / columns * cell_rows;
    const std::int64_t left = options.padding + i % columns * cell_cols;
    for (std::int64_t y = 0; y < std::int64_t{h} * options.zoom; ++y) {
      const std::uint8_t* from = images + (i * h + y / options.zoom) * w * channels;
      std::uint8_t* to = grid.pixels.data() + ((top + y) * grid.cols + left) * channels;
      for (std::int64_t x = 0; x < std::int64_t{w} * options.zoom; ++x) {
        to = std::copy_n(from + x / options.zoom * channels, channels, to);
      }
    }
  }
  return grid;
}

std::vector<std::byte> encode_png(const Image& image) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.cols);
  png.height = static_cast<png_uint_32>(image.rows);
  png.format = image.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::vector<std::byte> bytes(size);
  if (png_image_write_to_memory(&png, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr) == 0) {
    throw Error("libpng cannot encode an image of " + std::to_string(image.rows) + "x" + std::to_string(image.cols) +
                ": " + png.message + "; take fewer images or less zoom");
  }
  bytes.resize(size);
  return bytes;
}

void write_png_grid(const std::string& path, const std::uint8_t* images, int n, int h, int w,
                    const GridOptions& options) {
  write_file_atomically(path, encode_png(make_grid(images, n, h, w, options)));
}

}  // namespace flowsmith::core
