#include "data/dataset.h"

#include <array>
#include <filesystem>
#include <numeric>
#include <utility>

#include "data/idx.h"
#include "data/shipped.h"
#include "engine/error.h"
#include "engine/file.h"
#include "kernels/noise.h"

namespace flowsmith {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kSplitDraw = 0xFFFFFFFF;  // no epoch gets that far
constexpr std::uint32_t kValidationShare = 6;

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// The file as it is or with .gz.
std::string find_file(const std::string& folder, const std::string& name) {
  std::error_code ignored;
  for (const char* ending : {"", ".gz"}) {
    const fs::path path = fs::path(folder) / (name + ending);
    if (fs::exists(path, ignored)) return path.string();
  }
  throw Error("dataset " + in_quotes(folder) + " has no file " + name + " or " + name +
              ".gz; put the four IDX files of the dataset there");
}

struct ImageFiles {
  int rows = 0;
  int cols = 0;
  LabelledImages content;
};

ImageFiles load_set(const std::string& folder, const std::string& prefix) {
  const std::string image_file = find_file(folder, prefix + "-images-idx3-ubyte");
  const std::string label_file = find_file(folder, prefix + "-labels-idx1-ubyte");
  IdxImages images = read_idx_images(image_file);
  std::vector<std::uint8_t> labels = read_idx_labels(label_file);
  if (labels.size() != static_cast<std::size_t>(images.count)) {
    throw Error(in_quotes(label_file) + " holds " + std::to_string(labels.size()) + " labels for the " +
                std::to_string(images.count) + " images of " + in_quotes(image_file) +
                "; take both files from the same dataset");
  }
  return {images.rows, images.cols, {images.count, std::move(images.pixels), std::move(labels)}};
}

// The words of one shuffle, in order; a shuffle of its own for every (seed, draw).
class ShuffleWords {
 public:
  ShuffleWords(std::uint64_t seed, std::uint32_t draw) : stream_{seed, NoisePurpose::kShuffle, draw} {}

  /// Uniform on 0 ... n-1 without bias (Lemire, "Fast random integer generation in an interval", 2019): of the 2^32
  /// words, the 2^32 mod n that would favour some results are drawn again.
  std::uint32_t below(std::uint32_t n) {
    const std::uint32_t threshold = (0u - n) % n;
    while (true) {
      const std::uint64_t product = std::uint64_t{next()} * n;
      if (static_cast<std::uint32_t>(product) >= threshold) return static_cast<std::uint32_t>(product >> 32);
    }
  }

 private:
  std::uint32_t next() {
    if (used_ == words_.size()) {
      words_ = noise_words(stream_, 0, group_++);
      used_ = 0;
    }
    return words_[used_++];
  }

  NoiseStream stream_;
  std::uint32_t group_ = 0;
  PhiloxCounter words_ = {};
  std::size_t used_ = words_.size();
};

// Fisher and Yates: each of the n! orders equally likely.
void shuffle(std::vector<std::uint32_t>& items, std::uint64_t seed, std::uint32_t draw) {
  ShuffleWords words(seed, draw);
  for (std::size_t left = items.size(); left > 1; --left) {
    std::swap(items[left - 1], items[words.below(static_cast<std::uint32_t>(left))]);
  }
}

}  // namespace

std::string find_dataset(const std::string& folder_or_name) {
  const bool bare = !folder_or_name.empty() && folder_or_name.find('/') == std::string::npos && folder_or_name != "." &&
                    folder_or_name != "..";
  if (bare) {
    if (const auto shipped = find_shipped(folder_or_name); shipped && is_folder(*shipped)) return *shipped;
  }
  if (is_folder(folder_or_name)) return folder_or_name;
  std::error_code ignored;
  if (fs::exists(folder_or_name, ignored)) {
    throw Error("dataset " + in_quotes(folder_or_name) + " is a file; give the folder that holds the four IDX files");
  }
  throw Error("no dataset " + in_quotes(folder_or_name) + ": there is no such folder" +
              (bare ? ", nor one below a folder 'data' here or beside the program" : "") +
              "; give the folder that holds the four IDX files");
}

Dataset load_dataset(const std::string& folder_or_name) {
  const std::string folder = find_dataset(folder_or_name);
  ImageFiles train = load_set(folder, "train");
  ImageFiles test = load_set(folder, "t10k");
  if (train.rows != test.rows || train.cols != test.cols) {
    throw Error("dataset " + in_quotes(folder) + " mixes sizes: training images are " + std::to_string(train.rows) +
                "x" + std::to_string(train.cols) + ", test images " + std::to_string(test.rows) + "x" +
                std::to_string(test.cols) + "; take all four files from the same dataset");
  }
  const fs::path named = fs::absolute(folder).lexically_normal();
  const fs::path last = named.has_filename() ? named.filename() : named.parent_path().filename();
  return {last.string(), train.rows, train.cols, std::move(train.content), std::move(test.content)};
}

Split split_train_validation(std::uint32_t count, std::uint64_t seed) {
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  shuffle(order, seed, kSplitDraw);
  const auto boundary = order.begin() + (count - count / kValidationShare);
  return {{order.begin(), boundary}, {boundary, order.end()}};
}

std::vector<std::uint32_t> epoch_order(const std::vector<std::uint32_t>& train, std::uint64_t seed,
                                       std::uint32_t epoch) {
  std::vector<std::uint32_t> order = train;
  shuffle(order, seed, epoch);
  return order;
}

}  // namespace flowsmith
