// PNG files, grey or colour: reading one image, and writing grids of many.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace flowsmith::core {

/// An image of bytes.
struct Image {
  int rows = 0;
  int cols = 0;
  std::vector<std::uint8_t> pixels;  ///< (rows, cols, channels)
  int channels = 1;                  ///< 1 (grey) or 3 (red, green, blue)
};

/// What a PNG file says at its start, before anything is unpacked.
struct PngHeader {
  int rows = 0;
  int cols = 0;
  int channels = 1;  ///< 3 if it has colour or a palette
};

/// Throws an Error that names the file if it is no PNG, has a side over 65,535 or more than 2^28 pixels, or claims more
/// pixels than a file of its length can hold.
PngHeader read_png_header(const std::string& path);

/// The image as 8-bit grey or colour (sRGB), as the header says. Palettes are looked up, 16 bits are rounded to 8,
/// images of another gamma are converted, and transparent ones laid over black, in linear light: all as libpng does it.
/// Throws an Error that names the file as read_png_header does, or if it is cut off or damaged.
Image read_png(const std::string& path);

struct GridOptions {
  int columns = 8;
  int padding = 2;              ///< pixels of `background` around and between the images, not enlarged
  int zoom = 1;                 ///< each pixel becomes zoom x zoom equal ones
  std::uint8_t background = 0;  ///< of every channel
  int channels = 1;             ///< 1 (grey) or 3 (colour)
};

/// n images of h x w as one image, row by row.
using Grid = Image;

/// The size of the grid that make_grid() makes, without its pixels. Throws Error as that does.
Grid measure_grid(int n, int h, int w, const GridOptions& options = {});

/// Lays `images` (n, h, w, channels) out, min(n, columns) per row, the rest of the last row background. Sides in
/// pixels: with c = min(n, columns) and r = ceil(n / c), padding + c * (w * zoom + padding) by padding + r * (h * zoom
/// + padding). Throws Error if a size is not positive (padding: negative), channels is neither 1 nor 3, a side exceeds
/// 65,535 pixels or the whole 2^28.
Grid make_grid(const std::uint8_t* images, int n, int h, int w, const GridOptions& options = {});

/// The image as the bytes of an 8-bit PNG file, greyscale or RGB.
std::vector<std::byte> encode_png(const Image& image);

/// encode_png(make_grid(...)), written atomically.
void write_png_grid(const std::string& path, const std::uint8_t* images, int n, int h, int w,
                    const GridOptions& options = {});

}  // namespace flowsmith::core
