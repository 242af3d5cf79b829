// The sources behind load_dataset, one file each. docs/datasets.md describes their layouts.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/idx.h"

namespace flowsmith::core {

constexpr std::uint64_t kMaxDatasetBytes = std::uint64_t{4} << 30;  ///< of the examples of one store, unpacked

/// The last part of a path, without slashes behind it: "data/mnist/" is "mnist".
std::string last_part(const std::string& path);
bool is_folder(const std::string& path);

/// Images {train,t10k}-images-idx3-ubyte and, if they are there, their labels {train,t10k}-labels-idx1-ubyte, each
/// plain or with .gz, and with dots for dashes. Other names before "train" and "t10k" or "test" are taken too
/// (qmnist-train-...); the images of emnist-... are turned. Throws an Error that names the file if images are missing
/// or unreadable, if a set has not one label per image, if training and test images differ in size, or if there are
/// several sets.
Dataset load_idx_folder(const std::string& folder);
bool holds_idx(const std::string& folder);  ///< a file of images

/// The images of one file; those of a file emnist-... are turned, which goes into `note`.
IdxImages read_upright_images(const std::string& path, std::string& note);

/// One file of images as a dataset, parted by a seed.
Dataset load_idx_file(const std::string& path);
bool is_idx_file(
    const std::string& path);  ///< by its name, which ends in idx3-ubyte, dots or dashes, with or without .gz

/// CIFAR-10's binary version (https://www.cs.toronto.edu/~kriz/cifar.html): data_batch_1.bin to data_batch_5.bin and
/// test_batch.bin, each of records of one label byte and 32 x 32 bytes of red, green, blue. Throws an Error that names
/// the file if one is missing, is not of whole records, or has a label above 9.
Dataset load_cifar10(const std::string& folder);
bool holds_cifar10(const std::string& folder);  ///< at least one of the six

/// PNG images of one size, in the order of their names: those of the subfolders train, test and, if it is there, val,
/// or those of the folder itself. Grey if all of them are, else colour. Throws an Error that names the file if one is
/// damaged or its size differs, or if there are too few for every subset.
Dataset load_png_folder(const std::string& folder);
/// The PNG files of a folder, sorted by the bytes of their names, so that the order is the same everywhere.
std::vector<std::string> png_files(const std::string& folder);
bool holds_png(const std::string& folder);  ///< PNG files, or a subfolder train

/// A .npy array (of any numbers, N x D or N; or a .npz file of one) or a .csv table (data/csv.h) of finite numbers, 1
/// <= D <= 1024, N >= 10. Throws an Error that names the file and the place otherwise.
Dataset load_table(const std::string& path);
bool is_table(const std::string& path);  ///< by the end of its name

/// A toy density by its name (data/toys.h).
Dataset load_toy(const std::string& name, std::optional<double> noise, std::uint64_t seed);

}  // namespace flowsmith::core
