#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <utility>

#include "data/idx.h"
#include "data/sources.h"
#include "data/transposed.h"
#include "engine/file.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

namespace fs = std::filesystem;

constexpr const char* kImages = "-images-idx3-ubyte";
constexpr const char* kLabels[] = {"-labels-idx1-ubyte", "-labels-idx2-int"};

// What stands before -images-idx3-ubyte: "train", "t10k", "emnist-letters-train".
struct ImageFile {
  std::string path, prefix;
};

// The name as MNIST's authors write it: with dashes for dots, and without .gz.
std::string plain_name(std::string name) {
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  std::replace(name.begin(), name.end(), '.', '-');
  return name;
}

std::vector<std::string> files_of(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Files of images whose prefix ends in one of these words, all of it or behind a dash.
std::vector<ImageFile> image_files(const std::string& folder, std::initializer_list<std::string_view> words) {
  std::vector<ImageFile> found;
  for (const std::string& name : files_of(folder)) {
    const std::string plain = plain_name(name);
    if (!plain.ends_with(kImages)) continue;
    const std::string prefix = plain.substr(0, plain.size() - std::string_view(kImages).size());
    const bool fits = std::any_of(words.begin(), words.end(), [&](std::string_view word) {
      return prefix == word || prefix.ends_with("-" + std::string(word));
    });
    const bool twice = !found.empty() && found.back().prefix == prefix;  // plain and packed
    if (fits && !twice) found.push_back({(fs::path(folder) / name).string(), prefix});
  }
  return found;
}

ImageFile image_file(const std::string& folder, std::initializer_list<std::string_view> words) {
  const std::vector<ImageFile> found = image_files(folder, words);
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    const std::string name = std::string(*words.begin()) + kImages;
    throw Error("dataset " + in_quotes(folder) + " has no file " + name + " or " + name +
                ".gz; put the IDX files of the dataset there, or the files of CIFAR-10, or PNG images");
  }
  throw Error("dataset " + in_quotes(folder) + " has several sets of images, " + found[0].prefix + " and " +
              found[1].prefix + "; put each into a folder of its own");
}

// The labels of these images, if there are any.
std::optional<std::string> label_file(const std::string& folder, const std::string& prefix) {
  for (const std::string& name : files_of(folder)) {
    for (const char* const ending : kLabels) {
      if (plain_name(name) == prefix + ending) return (fs::path(folder) / name).string();
    }
  }
  return std::nullopt;
}

// EMNIST's images are stored column by column.
bool is_transposed(const std::string& prefix) { return prefix.starts_with("emnist"); }

// The images of a file, turned, with a note, if its name says that they need it.
IdxImages upright(IdxImages images, const std::string& prefix, std::string& note) {
  if (!is_transposed(prefix)) return images;
  note = "images of EMNIST, stored column by column, were turned";
  images.pixels = transposed(images.pixels, images.rows, images.cols, 1);
  std::swap(images.rows, images.cols);
  return images;
}

struct ImageFiles {
  int rows = 0;
  int cols = 0;
  Examples content;
};

ImageFiles load_set(const std::string& folder, const ImageFile& file, std::string& note) {
  IdxImages images = upright(read_idx_images(file.path), file.prefix, note);
  std::vector<std::uint8_t> labels;
  if (const auto path = label_file(folder, file.prefix)) {
    labels = read_idx_labels(*path);
    if (labels.size() != static_cast<std::size_t>(images.count)) {
      throw Error(in_quotes(*path) + " holds " + std::to_string(labels.size()) + " labels for the " +
                  std::to_string(images.count) + " images of " + in_quotes(file.path) +
                  "; take both files from the same dataset");
    }
  }
  return {images.rows, images.cols, {images.count, std::move(images.pixels), {}, std::move(labels)}};
}

}  // namespace

IdxImages read_upright_images(const std::string& path, std::string& note) {
  return upright(read_idx_images(path), last_part(path), note);
}

Dataset load_idx_folder(const std::string& folder) {
  const ImageFile train_file = image_file(folder, {"train"}), test_file = image_file(folder, {"t10k", "test"});
  Dataset dataset;
  ImageFiles train = load_set(folder, train_file, dataset.note);
  ImageFiles test = load_set(folder, test_file, dataset.note);
  if (train.rows != test.rows || train.cols != test.cols) {
    throw Error("dataset " + in_quotes(folder) + " mixes sizes: training images are " + std::to_string(train.rows) +
                "x" + std::to_string(train.cols) + ", test images " + std::to_string(test.rows) + "x" +
                std::to_string(test.cols) + "; take all four files from the same dataset");
  }
  dataset.name = last_part(folder);
  dataset.rows = train.rows;
  dataset.cols = train.cols;
  dataset.train = std::move(train.content);
  dataset.test = std::move(test.content);
  return dataset;
}

bool holds_idx(const std::string& folder) { return !image_files(folder, {"train", "t10k", "test"}).empty(); }

bool is_idx_file(const std::string& path) {
  std::error_code ignored;
  const std::string name = plain_name(fs::path(path).filename().string());
  return name.ends_with("-idx3-ubyte") && fs::is_regular_file(path, ignored);
}

Dataset load_idx_file(const std::string& path) {
  constexpr int kMinImages = 10;  // of which a tenth is one image for validation and one for the test
  Dataset dataset;
  IdxImages images = read_upright_images(path, dataset.note);
  if (images.count < kMinImages) {
    throw Error("dataset " + in_quotes(path) + " has " + std::to_string(images.count) + " images; give at least " +
                std::to_string(kMinImages) + ", for training, validation and test");
  }
  dataset.name = last_part(path);
  dataset.rows = images.rows;
  dataset.cols = images.cols;
  dataset.train = {images.count, std::move(images.pixels), {}, {}};
  return dataset;
}

}  // namespace flowsmith::core
