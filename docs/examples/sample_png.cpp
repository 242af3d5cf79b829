// Draws a row of images into a PNG file, without a window: sample_png WEIGHTS OUT.png [COUNT].
#include <flowsmith/flow.h>
#include <png.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s WEIGHTS OUT.png [COUNT]\n", argv[0]);
    return 2;
  }
  const int count = argc > 3 ? std::max(1, std::atoi(argv[3])) : 8;
  const flowsmith::Flow flow = flowsmith::Flow::load(argv[1]);
  const flowsmith::Shape shape = flow.shape();
  const std::vector<std::uint8_t> images = flow.sample_images({.count = count, .seed = 7});

  // Images lie one behind the other; in the picture they stand side by side.
  const std::size_t row = std::size_t(shape.width) * std::size_t(shape.channels);
  std::vector<std::uint8_t> picture(images.size());
  for (std::size_t i = 0; i < std::size_t(count); ++i) {
    for (std::size_t y = 0; y < std::size_t(shape.height); ++y) {
      std::copy_n(&images[i * shape.size() + y * row], row, &picture[(y * std::size_t(count) + i) * row]);
    }
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = png_uint_32(shape.width * count);
  image.height = png_uint_32(shape.height);
  image.format = shape.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  if (png_image_write_to_file(&image, argv[2], 0, picture.data(), 0, nullptr) == 0) {
    std::fprintf(stderr, "sample_png: cannot write %s: %s\n", argv[2], image.message);
    return 2;
  }
  std::printf("%d samples of %d x %d pixels in %s\n", count, shape.height, shape.width, argv[2]);
} catch (const std::exception& error) {
  std::fprintf(stderr, "sample_png: %s\n", error.what());
  return 2;
}
