// Image datasets in the layout of MNIST, and the order in which training sees them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace flowsmith {

struct LabelledImages {
  int count = 0;
  std::vector<std::uint8_t> images;  ///< (count, rows, cols)
  std::vector<std::uint8_t> labels;  ///< (count)
};

struct Dataset {
  std::string name;  ///< the folder's own name, e.g. "mnist"
  int rows = 0;
  int cols = 0;
  LabelledImages train;
  LabelledImages test;
};

/// The folder of a dataset given as a path or as a bare name. A name without a slash, such as "mnist", means data/NAME,
/// looked for below the current folder, then below each folder from the program's own upwards; failing that, the folder
/// NAME itself. Throws Error if there is no such folder.
std::string find_dataset(const std::string& folder_or_name);

/// Reads the four files {train,t10k}-{images-idx3,labels-idx1}-ubyte, each plain or with .gz, of the folder that
/// find_dataset gives. Throws an Error that names the file if one is missing or unreadable, if a set has not one label
/// per image, or if training and test images differ in size.
Dataset load_dataset(const std::string& folder_or_name);

/// Indices into Dataset::train.
struct Split {
  std::vector<std::uint32_t> train;
  std::vector<std::uint32_t> validation;
};

/// Parts `count` indices at random, fixed by the seed: count/6 for validation (MNIST: 50,000 and 10,000), the others
/// for training.
Split split_train_validation(std::uint32_t count, std::uint64_t seed);

/// `train` in the order of this epoch, a permutation fixed by seed and epoch.
std::vector<std::uint32_t> epoch_order(const std::vector<std::uint32_t>& train, std::uint64_t seed,
                                       std::uint32_t epoch);

}  // namespace flowsmith
