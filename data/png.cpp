#include "data/png.h"

#include <png.h>

#include <algorithm>

#include "engine/error.h"
#include "engine/file.h"

namespace flowsmith {
namespace {

constexpr std::int64_t kMaxSide = 65535;  // what common viewers still open
constexpr std::int64_t kMaxPixels = 1 << 28;

}  // namespace

Grid measure_grid(int n, int h, int w, const GridOptions& options) {
  if (n <= 0 || h <= 0 || w <= 0) throw Error("a grid of no images was asked for; give at least one image");
  if (options.columns <= 0 || options.zoom <= 0 || options.padding < 0) {
    throw Error("a grid needs at least 1 column, a zoom of at least 1 and no negative padding; correct the option");
  }
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
  return grid;
}

Grid make_grid(const std::uint8_t* images, int n, int h, int w, const GridOptions& options) {
  Grid grid = measure_grid(n, h, w, options);
  const std::int64_t columns = std::min(n, options.columns);
  const std::int64_t cell_rows = std::int64_t{h} * options.zoom + options.padding;
  const std::int64_t cell_cols = std::int64_t{w} * options.zoom + options.padding;
  grid.pixels.assign(static_cast<std::size_t>(grid.rows) * static_cast<std::size_t>(grid.cols), options.background);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t top = options.padding + i / columns * cell_rows;
    const std::int64_t left = options.padding + i % columns * cell_cols;
    for (std::int64_t y = 0; y < std::int64_t{h} * options.zoom; ++y) {
      const std::uint8_t* from = images + (i * h + y / options.zoom) * w;
      std::uint8_t* to = grid.pixels.data() + (top + y) * grid.cols + left;
      for (int x = 0; x < w; ++x) to = std::fill_n(to, options.zoom, from[x]);
    }
  }
  return grid;
}

std::vector<std::byte> encode_png(const Grid& grid) {
  // libpng's simplified interface reports errors by its return value, where the older one jumps over destructors.
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(grid.cols);
  image.height = static_cast<png_uint_32>(grid.rows);
  image.format = PNG_FORMAT_GRAY;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<std::byte> bytes(size);
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, grid.pixels.data(), 0, nullptr) == 0) {
    throw Error("libpng cannot encode an image of " + std::to_string(grid.rows) + "x" + std::to_string(grid.cols) +
                ": " + image.message + "; take fewer images or less zoom");
  }
  bytes.resize(size);
  return bytes;
}

void write_png_grid(const std::string& path, const std::uint8_t* images, int n, int h, int w,
                    const GridOptions& options) {
  write_file_atomically(path, encode_png(make_grid(images, n, h, w, options)));
}

}  // namespace flowsmith
