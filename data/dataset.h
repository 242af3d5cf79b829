// Datasets of every kind as one type: images of bytes or rows of numbers, in three subsets. docs/datasets.md describes
// each source.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/split.h"

namespace flowsmith::core {

enum class ExampleKind {
  kImages,   ///< bytes 0 to 255, NHWC
  kNumbers,  ///< D numbers per example: maps of (1, 1, D)
};

/// One file's or one folder's worth of examples. The number of an example in its store keys its noise.
struct Examples {
  int count = 0;
  std::vector<std::uint8_t> images;  ///< (count, rows, cols, channels), of a dataset of images
  std::vector<double> values;        ///< (count, D), of a dataset of numbers
  std::vector<std::uint8_t> labels;  ///< (count), or none
};

struct Dataset {
  std::string name;  ///< the last part of its path, or the toy's name: "mnist", "moons"
  ExampleKind kind = ExampleKind::kImages;
  int rows = 0;  ///< numbers: 1 x 1 x D
  int cols = 0;
  int channels = 1;
  /// The stores. `validation` and `test` are empty where the source does not part its examples itself:
  /// select_examples then draws them from `train`.
  Examples train;
  Examples validation;
  Examples test;
  /// Per column of numbers, over the training subset, if they were asked for. The values themselves stay as they are.
  std::vector<double> mean;
  std::vector<double> deviation;
  std::string note;  ///< what people should know of it, or nothing

  std::size_t example_size() const { return std::size_t(rows) * std::size_t(cols) * std::size_t(channels); }
};

enum class Subset { kTrain, kValidation, kTest };

Subset parse_subset(std::string_view text);  ///< "train", "val", "test"; throws Error on anything else

/// Examples of a dataset by number.
struct ExampleSet {
  const std::vector<std::uint8_t>* pixels = nullptr;  ///< of the whole store that images stand in
  std::vector<std::uint32_t> index;
  const std::vector<double>* values = nullptr;  ///< the same for numbers

  /// `limit` examples (-1: all) from the offset-th on. Throws Error if none are left.
  void restrict_to(std::int64_t offset, std::int64_t limit);
};

/// A subset: all of its own store, or what `seed` draws from `train` (split_train_validation if there is a test store,
/// else split_in_three). The dataset must outlive it.
ExampleSet select_examples(const Dataset& dataset, Subset subset, std::uint64_t seed);

/// The images, or rows of numbers, one after the other, numbers begin ... begin + n - 1 of the set. `size`: bytes or
/// numbers of one, Dataset::example_size().
std::vector<std::uint8_t> gather(const ExampleSet& set, std::size_t size, std::size_t begin, std::size_t n);
std::vector<double> gather_values(const ExampleSet& set, std::size_t size, std::size_t begin, std::size_t n);

struct DatasetOptions {
  std::string source = "mnist";
  int channels = 0;          ///< of images: 1 (grey), 3 (colour), or 0: as they are
  bool transpose = false;    ///< of images: rows and columns change places
  int pad = 0;               ///< of images: centred on black up to this side; 0: as they are
  bool standardize = false;  ///< of numbers: mean and deviation are filled in
  std::uint64_t seed = 42;   ///< of the points of a toy, and of the training subset that mean and deviation describe
  std::optional<double> noise = std::nullopt;  ///< of a toy; by default its own (data/toys.h)
};

/// Reads or makes the dataset that `source` names:
/// - the name of a toy density in the plane (data/toys.h);
/// - a table of numbers, a path that ends in .npy, .npz or .csv;
/// - a folder, or the name of one below data/, as find_dataset finds it: IDX files, CIFAR-10's binary files, or PNG
///   images.
/// Throws Error, in one line that names file and place, if there is no such source, if its content is damaged, if a
/// table or a folder of PNG images has too few examples for three subsets, if an option is not for this kind, or if a
/// column to standardize is constant.
Dataset load_dataset(const DatasetOptions& options);
Dataset load_dataset(const std::string& source);  ///< with the default options

/// The same source for a process in another folder: names stay names, and paths become whole.
std::string lasting_source(const std::string& source);

/// CRC-32C of all examples and labels, in eight hexadecimal digits: whether data are the same as before.
std::string checksum(const Dataset& dataset);

/// The folder of a dataset given as a path or as a bare name. A name without a slash, such as "mnist", means data/NAME,
/// looked for below the current folder, then below each folder from the program's own upwards; failing that, the folder
/// NAME itself, and then what a Debian package installed under that name (dataset-fashion-mnist). Throws Error if there
/// is no such folder.
std::string find_dataset(const std::string& folder_or_name);

}  // namespace flowsmith::core
