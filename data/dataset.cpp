#include "data/dataset.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <span>
#include <utility>

#include "data/channels.h"
#include "data/event_file.h"
#include "data/shipped.h"
#include "data/sources.h"
#include "data/toys.h"
#include "data/transposed.h"
#include "engine/column_statistics.h"
#include "engine/file.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWhatToGive =
    "; give a folder of IDX files, of CIFAR-10's binary files or of PNG images, a .npy, .npz or .csv file, or a toy's "
    "name";

Dataset load_folder(const std::string& folder) {
  if (holds_idx(folder)) return load_idx_folder(folder);
  if (holds_cifar10(folder)) return load_cifar10(folder);
  if (holds_png(folder)) return load_png_folder(folder);
  return load_idx_folder(folder);  // says what is missing
}

Dataset load_source(const DatasetOptions& options) {
  if (find_toy(options.source)) return load_toy(options.source, options.noise, options.seed);
  if (options.noise) {
    throw Error("the noise is that of a toy density, and " + in_quotes(options.source) + " is none; leave it out");
  }
  if (is_idx_file(options.source)) return load_idx_file(options.source);
  return is_table(options.source) ? load_table(options.source) : load_folder(find_dataset(options.source));
}

void set_channels(Dataset& dataset, int channels) {
  if (dataset.kind != ExampleKind::kImages) {
    throw Error("dataset " + in_quotes(dataset.name) + " holds numbers, which have no channels to convert; leave the " +
                "number of channels out");
  }
  for (Examples* store : {&dataset.train, &dataset.validation, &dataset.test}) {
    const std::uint64_t bytes = std::uint64_t{store->images.size()} / dataset.channels * channels;
    if (bytes > kMaxDatasetBytes) {
      throw Error("dataset " + in_quotes(dataset.name) + " exceeds 4 GiB in colour; leave it grey");
    }
    store->images = convert_channels(std::move(store->images), dataset.channels, channels);
  }
  dataset.channels = channels;
}

// Centres the images on black squares of this side.
void pad_images(Dataset& dataset, int side) {
  if (dataset.kind != ExampleKind::kImages) {
    throw Error("dataset " + in_quotes(dataset.name) + " holds numbers; only images are padded");
  }
  if (side < dataset.rows || side < dataset.cols) {
    throw Error("dataset " + in_quotes(dataset.name) + " has images of " + std::to_string(dataset.rows) + "x" +
                std::to_string(dataset.cols) + " pixels, which do not fit a side of " + std::to_string(side) +
                "; pad to more, or not at all");
  }
  const int top = (side - dataset.rows) / 2, left = (side - dataset.cols) / 2;
  const std::size_t row = std::size_t(dataset.cols) * dataset.channels;
  const std::size_t padded = std::size_t(side) * side * dataset.channels;
  for (Examples* store : {&dataset.train, &dataset.validation, &dataset.test}) {
    if (padded * std::uint64_t(store->count) > kMaxDatasetBytes) {
      throw Error("dataset " + in_quotes(dataset.name) + " exceeds 4 GiB when padded; pad to less");
    }
    std::vector<std::uint8_t> images(padded * store->count);
    for (std::size_t i = 0; i < std::size_t(store->count); ++i) {
      for (int y = 0; y < dataset.rows; ++y) {
        const auto from = store->images.begin() + std::ptrdiff_t((i * dataset.rows + y) * row);
        const std::size_t to = i * padded + (std::size_t(top + y) * side + left) * dataset.channels;
        std::copy(from, from + std::ptrdiff_t(row), images.begin() + std::ptrdiff_t(to));
      }
    }
    store->images = std::move(images);
  }
  dataset.rows = dataset.cols = side;
}

void transpose_images(Dataset& dataset) {
  if (dataset.kind != ExampleKind::kImages) {
    throw Error("dataset " + in_quotes(dataset.name) + " holds numbers; only images are transposed");
  }
  for (Examples* store : {&dataset.train, &dataset.validation, &dataset.test}) {
    store->images = transposed(store->images, dataset.rows, dataset.cols, dataset.channels);
  }
  std::swap(dataset.rows, dataset.cols);
}

// Fills in mean and deviation of each column over the training subset.
void standardize(Dataset& dataset, std::uint64_t seed) {
  if (dataset.kind != ExampleKind::kNumbers) {
    throw Error("dataset " + in_quotes(dataset.name) + " holds images; only numbers are standardized");
  }
  const std::vector<double>& values = dataset.train.values;
  const std::size_t columns = dataset.example_size();
  ColumnStatistics found = measure_columns(dataset.name, select_examples(dataset, Subset::kTrain, seed).index, columns,
                                           [&](std::span<const std::uint32_t> numbers, std::span<double> rows) {
                                             for (std::size_t i = 0; i < numbers.size(); ++i) {
                                               std::copy_n(values.begin() + std::ptrdiff_t(numbers[i] * columns),
                                                           columns, rows.begin() + std::ptrdiff_t(i * columns));
                                             }
                                           });
  dataset.mean = std::move(found.mean);
  dataset.deviation = std::move(found.deviation);
}

}  // namespace

std::string last_part(const std::string& path) {
  const fs::path named = fs::absolute(path).lexically_normal();
  return (named.has_filename() ? named.filename() : named.parent_path().filename()).string();
}

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::string find_dataset(const std::string& folder_or_name) {
  const bool bare = !folder_or_name.empty() && folder_or_name.find('/') == std::string::npos && folder_or_name != "." &&
                    folder_or_name != "..";
  if (bare) {
    if (const auto shipped = find_shipped(folder_or_name); shipped && is_folder(*shipped)) return *shipped;
    // Where Debian's packages of datasets put them.
    const std::string installed = "/usr/share/datasets/" + folder_or_name;
    if (is_folder(installed) && !is_folder(folder_or_name)) return installed;
  }
  if (is_folder(folder_or_name)) return folder_or_name;
  std::error_code ignored;
  if (fs::exists(folder_or_name, ignored)) {
    throw Error("dataset " + in_quotes(folder_or_name) + " is a file" + kWhatToGive);
  }
  if (ignored == std::errc::permission_denied) {
    throw Error("cannot look for dataset " + in_quotes(folder_or_name) +
                ": Permission denied; check the permissions of the folders it is in");
  }
  if (folder_or_name == "fashion-mnist") {
    throw Error("no dataset 'fashion-mnist': there is no such folder; apt-get install dataset-fashion-mnist brings it");
  }
  throw Error("no dataset " + in_quotes(folder_or_name) + ": there is no such folder" +
              (bare ? ", nor one below a folder 'data' here or beside the program" : "") + kWhatToGive);
}

std::string lasting_source(const std::string& source) {
  if (find_toy(source)) return source;
  const bool bare = source.find('/') == std::string::npos;
  std::error_code error;
  if (bare && !is_table(source) && (find_shipped(source) || !fs::exists(source, error))) return source;
  const fs::path whole = fs::absolute(source, error);
  return error ? source : whole.lexically_normal().string();
}

std::string checksum(const Dataset& dataset) {
  std::uint32_t sum = 0;
  for (const Examples* store : {&dataset.train, &dataset.validation, &dataset.test}) {
    for (const std::span<const std::byte> bytes :
         {std::as_bytes(std::span(store->images)), std::as_bytes(std::span(store->values)),
          std::as_bytes(std::span(store->labels))}) {
      const std::uint32_t parts[] = {sum, crc32c(bytes)};
      sum = crc32c(std::as_bytes(std::span(parts)));
    }
  }
  char text[16];
  std::snprintf(text, sizeof text, "%08x", unsigned(sum));
  return text;
}

Dataset load_dataset(const DatasetOptions& options) {
  if (options.channels != 0 && options.channels != 1 && options.channels != 3) {
    throw Error("images have 1 channel (grey) or 3 (colour), not " + std::to_string(options.channels) +
                "; choose one of them, or 0 to leave them as they are");
  }
  Dataset dataset = load_source(options);
  if (options.transpose) transpose_images(dataset);
  if (options.channels != 0) set_channels(dataset, options.channels);
  if (options.pad != 0) pad_images(dataset, options.pad);
  if (options.standardize) standardize(dataset, options.seed);
  return dataset;
}

Dataset load_dataset(const std::string& source) {
  DatasetOptions options;
  options.source = source;
  return load_dataset(options);
}

Subset parse_subset(std::string_view text) {
  if (text == "train") return Subset::kTrain;
  if (text == "val") return Subset::kValidation;
  if (text == "test") return Subset::kTest;
  throw Error("unknown split '" + std::string(text) + "': choose test, val or train");
}

void ExampleSet::restrict_to(std::int64_t offset, std::int64_t limit) {
  const std::int64_t count = std::int64_t(index.size());
  if (offset < 0 || offset >= count || limit == 0 || limit < -1) {
    throw Error("no images to work on: there are " + std::to_string(count) + ", the offset is " +
                std::to_string(offset) + " and the limit " + std::to_string(limit));
  }
  const std::int64_t left = count - offset;
  const std::int64_t n = limit < 0 ? left : std::min(limit, left);
  index = std::vector<std::uint32_t>(index.begin() + offset, index.begin() + offset + n);
}

ExampleSet select_examples(const Dataset& dataset, Subset subset, std::uint64_t seed) {
  const auto from = [](const Examples& store, std::vector<std::uint32_t> index) {
    return ExampleSet{&store.images, std::move(index), &store.values};
  };
  const bool whole = dataset.validation.count > 0 && dataset.test.count > 0;
  const Examples& own = subset == Subset::kTest         ? dataset.test
                        : subset == Subset::kValidation ? dataset.validation
                                                        : dataset.train;
  if (own.count > 0 && (subset != Subset::kTrain || whole)) {
    std::vector<std::uint32_t> index(own.count);
    std::iota(index.begin(), index.end(), 0u);
    return from(own, std::move(index));
  }
  const std::uint32_t count = static_cast<std::uint32_t>(dataset.train.count);
  Split split = dataset.test.count > 0 ? split_train_validation(count, seed) : split_in_three(count, seed);
  return from(dataset.train, std::move(subset == Subset::kTest         ? split.test
                                       : subset == Subset::kValidation ? split.validation
                                                                       : split.train));
}

std::vector<std::uint8_t> gather(const ExampleSet& set, std::size_t size, std::size_t begin, std::size_t n) {
  std::vector<std::uint8_t> pixels(n * size);
  for (std::size_t i = 0; i < n; ++i) {
    const auto source = set.pixels->begin() + set.index[begin + i] * size;
    std::copy(source, source + size, pixels.begin() + i * size);
  }
  return pixels;
}

std::vector<double> gather_values(const ExampleSet& set, std::size_t size, std::size_t begin, std::size_t n) {
  std::vector<double> values(n * size);
  for (std::size_t i = 0; i < n; ++i) {
    const auto source = set.values->begin() + set.index[begin + i] * size;
    std::copy(source, source + size, values.begin() + i * size);
  }
  return values;
}

}  // namespace flowsmith::core
