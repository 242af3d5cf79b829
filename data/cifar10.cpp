#include <array>
#include <filesystem>

#include "data/sources.h"
#include "engine/file.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSide = 32;
constexpr std::size_t kPlane = kSide * kSide;
constexpr std::size_t kRecord = 1 + 3 * kPlane;
constexpr int kClasses = 10;

const std::vector<std::string> kTrainFiles = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                              "data_batch_4.bin", "data_batch_5.bin"};
const std::string kTestFile = "test_batch.bin";

bool exists(const std::string& folder, const std::string& file) {
  std::error_code ignored;
  return fs::exists(fs::path(folder) / file, ignored);
}

std::vector<std::string> missing_files(const std::string& folder) {
  std::vector<std::string> missing;
  for (const std::string& file : kTrainFiles) {
    if (!exists(folder, file)) missing.push_back(file);
  }
  if (!exists(folder, kTestFile)) missing.push_back(kTestFile);
  return missing;
}

// Adds the records of a file: planes of red, green and blue become pixels.
void add_file(Examples& examples, const std::string& path) {
  InputFile file(path);
  if (file.size() == 0 || file.size() % kRecord != 0) {
    throw Error("cannot read " + in_quotes(path) + ": its " + std::to_string(file.size()) +
                " bytes are not whole records of " + std::to_string(kRecord) + "; download or unpack it again");
  }
  const std::uint64_t records = file.size() / kRecord;
  if (examples.images.size() + file.size() > kMaxDatasetBytes) {
    throw Error("cannot read " + in_quotes(path) + ": the dataset exceeds 4 GiB with it; give fewer records");
  }
  examples.images.reserve(examples.images.size() + records * 3 * kPlane);
  std::array<std::uint8_t, kRecord> record;
  for (std::uint64_t i = 0; i < records; ++i) {
    file.read_exactly(std::as_writable_bytes(std::span(record)));
    if (record[0] >= kClasses) {
      throw Error("cannot read " + in_quotes(path) + ": record " + std::to_string(i) + " has the label " +
                  std::to_string(record[0]) + ", not 0 to 9; give files of CIFAR-10's binary version");
    }
    examples.labels.push_back(record[0]);
    for (std::size_t p = 0; p < kPlane; ++p) {
      for (std::size_t c = 0; c < 3; ++c) examples.images.push_back(record[1 + c * kPlane + p]);
    }
  }
  examples.count += static_cast<int>(records);
}

}  // namespace

Dataset load_cifar10(const std::string& folder) {
  if (const std::vector<std::string> missing = missing_files(folder); !missing.empty()) {
    std::string names;
    for (const std::string& name : missing) names += (names.empty() ? "" : ", ") + name;
    throw Error("dataset " + in_quotes(folder) + " has no file " + names +
                "; put all six files of CIFAR-10's binary version there");
  }
  Dataset dataset;
  dataset.name = last_part(folder);
  dataset.rows = dataset.cols = static_cast<int>(kSide);
  dataset.channels = 3;
  for (const std::string& file : kTrainFiles) add_file(dataset.train, (fs::path(folder) / file).string());
  add_file(dataset.test, (fs::path(folder) / kTestFile).string());
  return dataset;
}

bool holds_cifar10(const std::string& folder) { return missing_files(folder).size() <= kTrainFiles.size(); }

}  // namespace flowsmith::core
