#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <numeric>

#include "data/dataset.h"
#include "data/transposed.h"
#include "engine/file.h"
#include "tests/data/idx_files.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

namespace fs = std::filesystem;
using Catch::Contains;

// A folder with a small dataset: three training and two test images of 2 x 1.
void write_dataset(const TempDir& dir) {
  dir.write("train-images-idx3-ubyte", idx_bytes(0x803, {3, 2, 1}, "abcdef"));
  dir.write("train-labels-idx1-ubyte.gz", gzip(idx_bytes(0x801, {3}, "\x01\x02\x03")));
  dir.write("t10k-images-idx3-ubyte.gz", gzip(idx_bytes(0x803, {2, 2, 1}, "uvwx")));
  dir.write("t10k-labels-idx1-ubyte", idx_bytes(0x801, {2}, "\x04\x05"));
}

// The current folder, put back at the end.
class WorkingFolder {
 public:
  explicit WorkingFolder(const fs::path& path) : before_(fs::current_path()) { fs::current_path(path); }
  ~WorkingFolder() { fs::current_path(before_); }

 private:
  fs::path before_;
};

std::vector<std::uint32_t> sorted(std::vector<std::uint32_t> items) {
  std::sort(items.begin(), items.end());
  return items;
}

std::vector<std::uint32_t> first_integers(std::uint32_t n) {
  std::vector<std::uint32_t> items(n);
  std::iota(items.begin(), items.end(), 0u);
  return items;
}

TEST_CASE("a dataset is read from its folder, each file plain or packed", "[dataset]") {
  TempDir dir;
  write_dataset(dir);
  for (const std::string ending : {"", "/", "/."}) {
    const Dataset dataset = load_dataset(dir.path().string() + ending);
    CHECK(dataset.name == dir.path().filename().string());
    CHECK(dataset.rows == 2);
    CHECK(dataset.cols == 1);
    CHECK(dataset.train.count == 3);
    CHECK(dataset.train.images == std::vector<std::uint8_t>{'a', 'b', 'c', 'd', 'e', 'f'});
    CHECK(dataset.train.labels == std::vector<std::uint8_t>{1, 2, 3});
    CHECK(dataset.test.count == 2);
    CHECK(dataset.test.images == std::vector<std::uint8_t>{'u', 'v', 'w', 'x'});
    CHECK(dataset.test.labels == std::vector<std::uint8_t>{4, 5});
  }
}

TEST_CASE("labels may be missing", "[dataset]") {
  TempDir dir;
  write_dataset(dir);
  fs::remove(dir.file("t10k-labels-idx1-ubyte"));
  const Dataset dataset = load_dataset(dir.path().string());
  CHECK(dataset.test.labels.empty());
  CHECK(dataset.train.labels == std::vector<std::uint8_t>{1, 2, 3});
}

TEST_CASE("IDX files are taken by the names that people have", "[dataset]") {
  using namespace std::literals;
  TempDir dir;
  SECTION("dots for dashes, and a plain file beside a packed one") {
    dir.write("train-images.idx3-ubyte", idx_bytes(0x803, {3, 2, 1}, "abcdef"));
    dir.write("train-images.idx3-ubyte.gz", gzip(idx_bytes(0x803, {3, 2, 1}, "abcdef")));
    dir.write("train-labels.idx1-ubyte", idx_bytes(0x801, {3}, "\x01\x02\x03"));
    dir.write("t10k-images.idx3-ubyte", idx_bytes(0x803, {2, 2, 1}, "uvwx"));
    const Dataset dataset = load_dataset(dir.path().string());
    CHECK(dataset.train.labels == std::vector<std::uint8_t>{1, 2, 3});
    CHECK(dataset.test.count == 2);
    CHECK(dataset.note.empty());
  }
  SECTION("QMNIST, whose labels are rows of integers") {
    dir.write("qmnist-train-images-idx3-ubyte", idx_bytes(0x803, {2, 2, 1}, "abcd"));
    std::string rows;
    for (const char label : {5, 7}) {
      rows += "\0\0\0"s + label;
      for (int i = 0; i < 7; ++i) rows += "\xff\xff\xff\xff"s;
    }
    dir.write("qmnist-train-labels-idx2-int", idx_bytes(0xc02, {2, 8}, rows));
    dir.write("qmnist-test-images-idx3-ubyte.gz", gzip(idx_bytes(0x803, {2, 2, 1}, "uvwx")));
    const Dataset dataset = load_dataset(dir.path().string());
    CHECK(dataset.train.labels == std::vector<std::uint8_t>{5, 7});
    CHECK(dataset.test.images == std::vector<std::uint8_t>{'u', 'v', 'w', 'x'});
  }
  SECTION("EMNIST, whose images are turned") {
    dir.write("emnist-letters-train-images-idx3-ubyte", idx_bytes(0x803, {1, 2, 3}, "abcdef"));
    dir.write("emnist-letters-test-images-idx3-ubyte", idx_bytes(0x803, {1, 2, 3}, "uvwxyz"));
    const Dataset dataset = load_dataset(dir.path().string());
    CHECK(dataset.rows == 3);
    CHECK(dataset.cols == 2);
    CHECK(dataset.train.images == std::vector<std::uint8_t>{'a', 'd', 'b', 'e', 'c', 'f'});
    CHECK_THAT(dataset.note, Contains("EMNIST") && Contains("turned"));
    CHECK(load_dataset(DatasetOptions{.source = dir.path().string(), .transpose = true}).train.images ==
          std::vector<std::uint8_t>{'a', 'b', 'c', 'd', 'e', 'f'});
    CHECK(transposed({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 1, 2, 3) ==
          std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
    CHECK(transposed({1, 2, 3, 4, 5, 6, 7, 8}, 2, 2, 2) == std::vector<std::uint8_t>{1, 2, 5, 6, 3, 4, 7, 8});
    dir.write("emnist-digits-train-images-idx3-ubyte", idx_bytes(0x803, {1, 2, 3}, "abcdef"));
    CHECK_THAT(error_of([&] { load_dataset(dir.path().string()); }),
               Contains("emnist-digits-train and emnist-letters-train") && Contains("a folder of its own"));
  }
  SECTION("one file of images alone, with elements of two bytes") {
    std::string shorts;
    for (char i = 0; i < 24; ++i) shorts += "\0"s + i;
    dir.write("mine.idx3-ubyte", idx_bytes(0xb03, {12, 2, 1}, shorts));
    const Dataset dataset = load_dataset(dir.file("mine.idx3-ubyte"));
    CHECK(dataset.train.count == 12);
    CHECK(dataset.train.images[23] == 23);
    CHECK(select_examples(dataset, Subset::kTest, 1).index.size() == 1);
    dir.write("few.idx3-ubyte", idx_bytes(0x803, {3, 2, 1}, "abcdef"));
    CHECK_THAT(error_of([&] { load_dataset(dir.file("few.idx3-ubyte")); }), Contains("3 images; give at least 10"));
  }
}

TEST_CASE("the bundled MNIST is found by its name", "[dataset]") {
  WorkingFolder here(FLOWSMITH_SOURCE_DIR);
  CHECK(find_dataset("mnist") == "data/mnist");
  const Dataset mnist = load_dataset("mnist");
  CHECK(mnist.name == "mnist");
  CHECK(mnist.train.count == 60000);
  CHECK(mnist.test.count == 10000);
  CHECK(mnist.train.images.size() == std::size_t{60000} * 28 * 28);
  // Sums over all training pixels and labels, from the published files; the mean pixel is the well-known 0.1307 * 255.
  CHECK(std::accumulate(mnist.train.images.begin(), mnist.train.images.end(), std::uint64_t{0}) == 1567298545u);
  CHECK(std::accumulate(mnist.train.labels.begin(), mnist.train.labels.end(), 0u) == 267236u);
}

TEST_CASE("a bare name is looked for in data/ here, beside the program, and as a folder", "[dataset]") {
  TempDir dir;
  WorkingFolder here(dir.path());
  fs::create_directories("digits");
  CHECK(find_dataset("digits") == "digits");
  fs::create_directories("data/digits");
  CHECK(find_dataset("digits") == "data/digits");
  CHECK(find_dataset("./digits") == "./digits");
  // The folder of this test program, where the search beside the program starts.
  const fs::path beside = fs::read_symlink("/proc/self/exe").parent_path() / "data/flowsmith-test-dataset";
  fs::create_directories(beside);
  CHECK(find_dataset("flowsmith-test-dataset") == beside.string());
  fs::remove(beside);
  fs::remove(beside.parent_path());
}

TEST_CASE("Fashion-MNIST is found where its package puts it, or the package is named", "[dataset]") {
  if (fs::exists("/usr/share/datasets/fashion-mnist")) {
    CHECK(load_dataset("fashion-mnist").train.count == 60000);
  } else {
    CHECK_THAT(error_of([&] { load_dataset("fashion-mnist"); }), Contains("apt-get install dataset-fashion-mnist"));
  }
}

TEST_CASE("a dataset that is not there or not whole is refused", "[dataset]") {
  TempDir dir;
  const std::string folder = dir.path().string();
  const auto complaint = [&] { return error_of([&] { load_dataset(folder); }); };
  CHECK_THAT(error_of([&] { load_dataset(dir.file("none")); }), Contains("none'") && Contains("no such folder"));
  CHECK_THAT(error_of([&] { load_dataset(""); }), Contains("no dataset ''"));
  CHECK_THAT(error_of([&] { load_dataset("no-such-name"); }), Contains("'no-such-name'") && Contains("'data'"));
  CHECK_THAT(complaint(), Contains(folder) && Contains("has no file train-images-idx3-ubyte"));
  write_dataset(dir);
  CHECK_THAT(error_of([&] { load_dataset(dir.file("t10k-labels-idx1-ubyte")); }), Contains("is a file"));

  SECTION("a missing file") {
    fs::remove(dir.file("t10k-images-idx3-ubyte.gz"));
    CHECK_THAT(complaint(), Contains("no file t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz"));
  }
  SECTION("fewer labels than images") {
    dir.write("t10k-labels-idx1-ubyte", idx_bytes(0x801, {1}, "\x04"));
    CHECK_THAT(complaint(), Contains("t10k-labels-idx1-ubyte' holds 1 labels for the 2 images"));
  }
  SECTION("train and test images of different size") {
    dir.write("t10k-images-idx3-ubyte.gz", idx_bytes(0x803, {2, 1, 2}, "uvwx"));
    CHECK_THAT(complaint(), Contains(folder) && Contains("2x1") && Contains("1x2"));
  }
  SECTION("a file that is damaged") {
    dir.write("train-images-idx3-ubyte", "nonsense");
    CHECK_THAT(complaint(), Contains("train-images-idx3-ubyte'"));
  }
}

TEST_CASE("the validation split is a partition fixed by the seed", "[dataset]") {
  const Split split = split_train_validation(60000, 42);
  CHECK(split.train.size() == 50000);
  CHECK(split.validation.size() == 10000);
  std::vector<std::uint32_t> all = split.train;
  all.insert(all.end(), split.validation.begin(), split.validation.end());
  CHECK(sorted(all) == first_integers(60000));
  CHECK(split_train_validation(60000, 42).validation == split.validation);
  CHECK(split_train_validation(60000, 43).validation != split.validation);
  CHECK(split_train_validation(60000, 42 + (std::uint64_t{1} << 32)).validation != split.validation);
  CHECK(split_train_validation(5, 42).validation.empty());
  CHECK(split_train_validation(0, 42).train.empty());
  // The first words of the Philox stream decide, on every machine: a change here would unpair runs from their splits.
  const std::vector<std::uint32_t> start(split.train.begin(), split.train.begin() + 4);
  CHECK(start == std::vector<std::uint32_t>{35249, 49846, 51529, 49930});
}

}  // namespace
}  // namespace flowsmith::core
