// Scores the PNG images of a folder: score_folder WEIGHTS FOLDER. They need the size that the flow takes, in grey.
#include <flowsmith/flow.h>
#include <png.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

namespace {

/// The pixels of one image, grey. Throws if it is none or has another size.
std::vector<std::uint8_t> read_png(const std::filesystem::path& path, flowsmith::Shape shape) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_file(&image, path.c_str()) == 0) throw std::runtime_error(path.string() + ": no PNG");
  if (int(image.height) != shape.height || int(image.width) != shape.width) {
    png_image_free(&image);
    throw std::runtime_error(path.string() + ": not " + std::to_string(shape.height) + " x " +
                             std::to_string(shape.width) + " pixels");
  }
  image.format = shape.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  std::vector<std::uint8_t> pixels(shape.size());
  png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr);
  return pixels;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s WEIGHTS FOLDER\n", argv[0]);
    return 2;
  }
  const flowsmith::Flow flow = flowsmith::Flow::load(argv[1]);
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[2])) {
    if (entry.path().extension() == ".png") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<std::uint8_t> images;
  for (const auto& file : files) {
    const std::vector<std::uint8_t> one = read_png(file, flow.shape());
    images.insert(images.end(), one.begin(), one.end());
  }
  // Eight draws of the noise, as `flowsmith score` takes.
  const std::vector<double> bits = flow.bits_per_dim(images, {.samples = 8});
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::printf("%s %.4f bits/dim\n", files[i].filename().c_str(), bits[i]);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "score_folder: %s\n", error.what());
  return 2;
}
