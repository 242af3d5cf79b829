#include <filesystem>
#include <utility>

#include "data/idx.h"
#include "data/sources.h"
#include "engine/file.h"
#include "kernels/error.h"

namespace flowsmith {
namespace {

namespace fs = std::filesystem;

constexpr const char* kImages = "-images-idx3-ubyte";
constexpr const char* kLabels = "-labels-idx1-ubyte";

// The file as it is or with .gz, or nothing.
std::optional<std::string> look_for(const std::string& folder, const std::string& name) {
  std::error_code ignored;
  for (const char* ending : {"", ".gz"}) {
    const fs::path path = fs::path(folder) / (name + ending);
    if (fs::exists(path, ignored)) return path.string();
  }
  return std::nullopt;
}

std::string find_file(const std::string& folder, const std::string& name) {
  if (const auto path = look_for(folder, name)) return *path;
  throw Error("dataset " + in_quotes(folder) + " has no file " + name + " or " + name +
              ".gz; put the four IDX files of the dataset there, or the files of CIFAR-10, or PNG images");
}

struct ImageFiles {
  int rows = 0;
  int cols = 0;
  Examples content;
};

ImageFiles load_set(const std::string& folder, const std::string& prefix) {
  const std::string image_file = find_file(folder, prefix + kImages);
  const std::string label_file = find_file(folder, prefix + kLabels);
  IdxImages images = read_idx_images(image_file);
  std::vector<std::uint8_t> labels = read_idx_labels(label_file);
  if (labels.size() != static_cast<std::size_t>(images.count)) {
    throw Error(in_quotes(label_file) + " holds " + std::to_string(labels.size()) + " labels for the " +
                std::to_string(images.count) + " images of " + in_quotes(image_file) +
                "; take both files from the same dataset");
  }
  return {images.rows, images.cols, {images.count, std::move(images.pixels), {}, std::move(labels)}};
}

}  // namespace

Dataset load_idx_folder(const std::string& folder) {
  ImageFiles train = load_set(folder, "train");
  ImageFiles test = load_set(folder, "t10k");
  if (train.rows != test.rows || train.cols != test.cols) {
    throw Error("dataset " + in_quotes(folder) + " mixes sizes: training images are " + std::to_string(train.rows) +
                "x" + std::to_string(train.cols) + ", test images " + std::to_string(test.rows) + "x" +
                std::to_string(test.cols) + "; take all four files from the same dataset");
  }
  Dataset dataset;
  dataset.name = last_part(folder);
  dataset.rows = train.rows;
  dataset.cols = train.cols;
  dataset.train = std::move(train.content);
  dataset.test = std::move(test.content);
  return dataset;
}

bool holds_idx(const std::string& folder) {
  for (const std::string prefix : {"train", "t10k"}) {
    if (look_for(folder, prefix + kImages) || look_for(folder, prefix + kLabels)) return true;
  }
  return false;
}

}  // namespace flowsmith
