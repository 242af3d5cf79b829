// Grids of grey images as PNG.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace flowsmith {

struct GridOptions {
  int columns = 8;
  int padding = 2;  ///< pixels of `background` around and between the images, not enlarged
  int zoom = 1;     ///< each pixel becomes zoom x zoom equal ones
  std::uint8_t background = 0;
};

/// n images of h x w as one image, row by row.
struct Grid {
  int rows = 0;
  int cols = 0;
  std::vector<std::uint8_t> pixels;  ///< (rows, cols)
};

/// The size of the grid that make_grid() makes, without its pixels. Throws Error as that does.
Grid measure_grid(int n, int h, int w, const GridOptions& options = {});

/// Lays `images` (n, h, w) out, min(n, columns) per row, the rest of the last row background. Sides in pixels: with
/// c = min(n, columns) and r = ceil(n / c), padding + c * (w * zoom + padding) by padding + r * (h * zoom + padding).
/// Throws Error if a size is not positive (padding: negative) or a side exceeds 65,535
/// pixels or the whole 2^28.
Grid make_grid(const std::uint8_t* images, int n, int h, int w, const GridOptions& options = {});

/// The grid as the bytes of an 8-bit greyscale PNG file.
std::vector<std::byte> encode_png(const Grid& grid);

/// encode_png(make_grid(...)), written atomically.
void write_png_grid(const std::string& path, const std::uint8_t* images, int n, int h, int w,
                    const GridOptions& options = {});

}  // namespace flowsmith
