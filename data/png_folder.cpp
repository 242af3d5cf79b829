#include <algorithm>
#include <filesystem>

#include "data/channels.h"
#include "data/png.h"
#include "data/sources.h"
#include "engine/file.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMinImages = 10;  // of which a tenth is one image for validation and one for the test

std::string size_text(int rows, int cols) { return std::to_string(rows) + "x" + std::to_string(cols); }

// Size and channels of all images, from their headers alone.
class Sizes {
 public:
  void add(const std::vector<std::string>& files) {
    for (const std::string& file : files) {
      const PngHeader header = read_png_header(file);
      if (first_.empty()) {
        first_ = file;
        rows_ = header.rows;
        cols_ = header.cols;
      }
      if (header.rows != rows_ || header.cols != cols_) {
        throw Error(in_quotes(file) + " has " + size_text(header.rows, header.cols) + " pixels and " +
                    in_quotes(first_) + " " + size_text(rows_, cols_) + "; give images of one size");
      }
      channels_ = std::max(channels_, header.channels);
    }
  }

  int rows() const { return rows_; }
  int cols() const { return cols_; }
  int channels() const { return channels_; }

 private:
  std::string first_;
  int rows_ = 0, cols_ = 0, channels_ = 1;
};

Examples read_images(const std::vector<std::string>& files, const Sizes& sizes) {
  const std::uint64_t size = std::uint64_t(sizes.rows()) * sizes.cols() * sizes.channels();
  if (files.size() > kMaxDatasetBytes / size) {
    throw Error("the " + std::to_string(files.size()) + " images beside " + in_quotes(files[0]) +
                " exceed 4 GiB; give fewer or smaller ones");
  }
  Examples examples;
  examples.count = static_cast<int>(files.size());
  examples.images.reserve(files.size() * size);
  for (const std::string& file : files) {
    Image image = read_png(file);
    const std::vector<std::uint8_t> pixels =
        convert_channels(std::move(image.pixels), image.channels, sizes.channels());
    if (pixels.size() != size) throw Error(in_quotes(file) + " changed while it was read; try again");
    examples.images.insert(examples.images.end(), pixels.begin(), pixels.end());
  }
  return examples;
}

bool has_subfolders(const std::string& folder) { return is_folder((fs::path(folder) / "train").string()); }

}  // namespace

std::vector<std::string> png_files(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::string ending = entry->path().extension().string();
    std::transform(ending.begin(), ending.end(), ending.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
    const std::string name = entry->path().filename().string();
    if (ending == ".png" && !name.starts_with('.')) names.push_back(name);
  }
  if (error) {
    throw Error("cannot list the folder " + in_quotes(folder) + ": " + error.message() + "; check its permissions");
  }
  std::sort(names.begin(), names.end());
  for (std::string& name : names) name = (fs::path(folder) / name).string();
  return names;
}

Dataset load_png_folder(const std::string& folder) {
  Dataset dataset;
  dataset.name = last_part(folder);
  std::vector<std::string> train, validation, test;
  if (has_subfolders(folder)) {
    const auto files_of = [&](const char* name) {
      const fs::path place = fs::path(folder) / name;
      std::vector<std::string> files = png_files(place);
      if (files.empty()) throw Error("the folder " + in_quotes(place.string()) + " has no PNG image; put some there");
      return files;
    };
    train = files_of("train");
    test = files_of("test");
    if (is_folder((fs::path(folder) / "val").string())) validation = files_of("val");
  } else {
    train = png_files(folder);
    if (train.size() < kMinImages) {
      throw Error("dataset " + in_quotes(folder) + " has " + std::to_string(train.size()) +
                  " PNG images; give at least " + std::to_string(kMinImages) + ", for training, validation and test");
    }
  }
  Sizes sizes;
  for (const auto* files : {&train, &validation, &test}) sizes.add(*files);
  dataset.rows = sizes.rows();
  dataset.cols = sizes.cols();
  dataset.channels = sizes.channels();
  dataset.train = read_images(train, sizes);
  if (!validation.empty()) dataset.validation = read_images(validation, sizes);
  if (!test.empty()) dataset.test = read_images(test, sizes);
  return dataset;
}

bool holds_png(const std::string& folder) { return has_subfolders(folder) || !png_files(folder).empty(); }

}  // namespace flowsmith::core
