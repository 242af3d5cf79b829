// Datasets of every kind, by load_dataset.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "data/csv.h"
#include "data/dataset.h"
#include "data/npy.h"
#include "data/toys.h"
#include "tests/data/idx_files.h"
#include "tests/data/png_files.h"
#include "tests/data/zip_files.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

namespace fs = std::filesystem;
using Catch::Contains;
using Bytes = std::vector<std::uint8_t>;

Dataset load(const std::string& source, int channels = 0) {
  DatasetOptions options;
  options.source = source;
  options.channels = channels;
  return load_dataset(options);
}

std::string complaint_of(const std::string& source) {
  return error_of([&] { load_dataset(source); });
}

std::vector<std::uint32_t> first_integers(std::size_t n) {
  std::vector<std::uint32_t> items(n);
  std::iota(items.begin(), items.end(), 0u);
  return items;
}

// All three subsets' numbers, sorted.
std::vector<std::uint32_t> all_numbers(const Dataset& dataset, std::uint64_t seed) {
  std::vector<std::uint32_t> all;
  for (const Subset subset : {Subset::kTrain, Subset::kValidation, Subset::kTest}) {
    const ExampleSet set = select_examples(dataset, subset, seed);
    all.insert(all.end(), set.index.begin(), set.index.end());
  }
  std::sort(all.begin(), all.end());
  return all;
}

TEST_CASE("one store is parted into three by the seed", "[dataset]") {
  const Split split = split_in_three(25, 7);
  CHECK(split.train.size() == 21);
  CHECK(split.validation.size() == 2);
  CHECK(split.test.size() == 2);
  CHECK(split_in_three(25, 7).test == split.test);
  CHECK(split_in_three(25, 8).test != split.test);
  CHECK(split_in_three(0, 7).train.empty());
}

TEST_CASE("a toy has a store for every subset", "[dataset]") {
  DatasetOptions options;
  options.source = "moons";
  options.seed = 3;
  options.standardize = true;
  const Dataset moons = load_dataset(options);
  CHECK(moons.name == "moons");
  CHECK(moons.kind == ExampleKind::kNumbers);
  CHECK(moons.example_size() == 2);
  CHECK(moons.train.count == 50000);
  CHECK(moons.validation.count == 10000);
  CHECK(moons.test.count == 50000);
  const ExampleSet validation = select_examples(moons, Subset::kValidation, 99);
  CHECK(validation.values == &moons.validation.values);
  CHECK(validation.index == first_integers(10000));
  CHECK(gather_values(validation, 2, 5, 3) == toy_points(*find_toy("moons"), 0.05, 3, Subset::kValidation, 5, 3));
  // Five standard errors of the mean; of the deviation likewise, about deviation / sqrt(2 n).
  CHECK(moons.mean[0] == Approx(0.5).margin(5 * 0.867 / std::sqrt(50000.0)).epsilon(0));
  CHECK(moons.deviation[0] == Approx(std::sqrt(0.7525)).epsilon(5 / std::sqrt(100000.0)));

  options.noise = 0.0;
  CHECK(load_dataset(options).test.values == toy_points(*find_toy("moons"), 0, 3, Subset::kTest, 0, 50000));
  options.noise = -1.0;
  CHECK_THAT(error_of([&] { load_dataset(options); }), Contains("noise of moons"));
  options.noise = 0.1;
  options.source = "mnist";
  CHECK_THAT(error_of([&] { load_dataset(options); }), Contains("'mnist'") && Contains("noise"));
}

TEST_CASE("tables of numbers come from .npy and .csv", "[dataset]") {
  TempDir dir;
  std::vector<double> values(40);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = double(i) * 0.5;
  const std::vector<float> floats(values.begin(), values.end());
  const std::vector<std::int64_t> shape = {20, 2};
  write_npy<double>(dir.file("f64.npy"), shape, values);
  write_npy<float>(dir.file("f32.npy"), shape, floats);
  write_csv(dir.file("text.csv"), values, 2);
  write_zip(dir.file("one.npz"), {{"x.npy", read_text_file(dir.file("f64.npy"), 1 << 20)}}, true);
  for (const std::string name : {"f64.npy", "f32.npy", "one.npz", "text.csv"}) {
    INFO(name);
    const Dataset dataset = load(dir.file(name));
    CHECK(dataset.name == name.substr(0, name.find('.')));
    CHECK(dataset.kind == ExampleKind::kNumbers);
    CHECK(dataset.example_size() == 2);
    CHECK(dataset.train.count == 20);
    CHECK(dataset.train.values == values);
    CHECK(dataset.train.images.empty());
    CHECK(select_examples(dataset, Subset::kTrain, 1).index.size() == 16);
    CHECK(select_examples(dataset, Subset::kTest, 1).index.size() == 2);
    CHECK(select_examples(dataset, Subset::kTest, 1).values == &dataset.train.values);
    CHECK(all_numbers(dataset, 1) == first_integers(20));
    CHECK(dataset.mean.empty());
  }
  write_npy<double>(dir.file("line.npy"), std::vector<std::int64_t>{40}, values);
  CHECK(load(dir.file("line.npy")).example_size() == 1);
}

TEST_CASE("mean and deviation are those of the training rows", "[dataset]") {
  TempDir dir;
  std::vector<double> values;
  for (int i = 0; i < 30; ++i) values.insert(values.end(), {double(i * i), 1e6 + i});
  write_csv(dir.file("a.csv"), values, 2);
  DatasetOptions options;
  options.source = dir.file("a.csv");
  options.standardize = true;
  options.seed = 9;
  const Dataset dataset = load_dataset(options);
  CHECK(dataset.train.values == values);  // as they are in the file
  const ExampleSet train = select_examples(dataset, Subset::kTrain, 9);
  for (std::size_t c = 0; c < 2; ++c) {
    double mean = 0, squares = 0;
    for (const std::uint32_t i : train.index) mean += values[2 * i + c];
    mean /= double(train.index.size());
    for (const std::uint32_t i : train.index) squares += std::pow(values[2 * i + c] - mean, 2);
    CHECK(dataset.mean[c] == Approx(mean).epsilon(1e-14));
    CHECK(dataset.deviation[c] == Approx(std::sqrt(squares / double(train.index.size()))).epsilon(1e-9));
  }
  for (std::size_t i = 0; i < 30; ++i) values[2 * i + 1] = 0.1;
  write_csv(dir.file("a.csv"), values, 2);
  CHECK_THAT(error_of([&] { load_dataset(options); }), Contains("column 2 of 'a'") && Contains("constant"));
  for (std::size_t i = 0; i < 30; ++i) values[2 * i + 1] = i % 2 == 0 ? 1e300 : -1e300;
  write_csv(dir.file("a.csv"), values, 2);
  CHECK_THAT(error_of([&] { load_dataset(options); }), Contains("column 2") && Contains("too large"));
}

TEST_CASE("tables that make no dataset are refused", "[dataset]") {
  TempDir dir;
  const auto npy = [&](std::vector<std::int64_t> shape, std::vector<double> values) {
    write_npy<double>(dir.file("a.npy"), shape, values);
    return complaint_of(dir.file("a.npy"));
  };
  CHECK_THAT(npy({9, 1}, std::vector<double>(9)), Contains("a.npy") && Contains("9 rows") && Contains("at least 10"));
  CHECK_THAT(npy({2, 2, 3}, std::vector<double>(12)), Contains("(2, 2, 3)"));
  CHECK_THAT(npy({0, 3}, {}), Contains("(0, 3)"));
  CHECK_THAT(npy({10, 0}, {}), Contains("(10, 0)"));
  CHECK_THAT(npy({10, 1025}, std::vector<double>(10250)), Contains("1025 columns"));
  std::vector<double> values(30);
  values[14] = NAN;
  CHECK_THAT(npy({10, 3}, values), Contains("row 4, column 2 (from 0) is not finite"));
  // Whole numbers are numbers too.
  write_npy<std::uint8_t>(dir.file("b.npy"), std::vector<std::int64_t>{10, 1}, Bytes(10, 7));
  CHECK(load_dataset(dir.file("b.npy")).train.values == std::vector<double>(10, 7));
  dir.write("a.csv", "1,2\n3,4\n");
  CHECK_THAT(complaint_of(dir.file("a.csv")), Contains("2 rows"));
  dir.write("a.csv", "");
  CHECK_THAT(complaint_of(dir.file("a.csv")), Contains("a.csv") && Contains("no row"));
  CHECK_THAT(complaint_of(dir.file("none.csv")), Contains("none.csv"));
  dir.write("a.txt", "1,2\n");
  CHECK_THAT(complaint_of(dir.file("a.txt")), Contains("is a file") && Contains(".csv"));
  dir.write("a.csv", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n");
  CHECK_THAT(error_of([&] { load(dir.file("a.csv"), 3); }), Contains("no channels"));
}

// A record of CIFAR-10: red 10 + label, green the row, blue the column.
std::string cifar_record(int label) {
  std::string record(1, static_cast<char>(label));
  record += std::string(1024, static_cast<char>(10 + label));
  for (int p = 0; p < 1024; ++p) record += static_cast<char>(p / 32);
  for (int p = 0; p < 1024; ++p) record += static_cast<char>(p % 32);
  return record;
}

void write_cifar(const TempDir& dir) {
  for (int i = 1; i <= 5; ++i) {
    dir.write("data_batch_" + std::to_string(i) + ".bin", cifar_record(i) + cifar_record(i + 1));
  }
  dir.write("test_batch.bin", cifar_record(9));
}

TEST_CASE("CIFAR-10's binary files become colour images", "[dataset]") {
  TempDir dir;
  write_cifar(dir);
  const Dataset dataset = load(dir.path().string());
  CHECK(dataset.name == dir.path().filename().string());
  CHECK(dataset.kind == ExampleKind::kImages);
  CHECK(dataset.rows == 32);
  CHECK(dataset.cols == 32);
  CHECK(dataset.channels == 3);
  CHECK(dataset.train.count == 10);
  CHECK(dataset.train.labels == Bytes{1, 2, 2, 3, 3, 4, 4, 5, 5, 6});
  CHECK(dataset.test.count == 1);
  CHECK(dataset.test.labels == Bytes{9});
  CHECK(dataset.test.images.size() == 3072);
  const std::uint8_t* pixel = &dataset.train.images[3 * 3072 + 3 * (7 * 32 + 5)];  // row 7, column 5 of the fourth
  CHECK(Bytes(pixel, pixel + 3) == Bytes{13, 7, 5});
  CHECK(select_examples(dataset, Subset::kValidation, 1).index == split_train_validation(10, 1).validation);
  CHECK(select_examples(dataset, Subset::kTest, 1).pixels == &dataset.test.images);
  const Dataset grey = load(dir.path().string(), 1);
  CHECK(grey.channels == 1);
  CHECK(grey.train.images[3 * 1024 + 7 * 32 + 5] == 9);  // 0.299 * 13 + 0.587 * 7 + 0.114 * 5 = 8.6
  CHECK_THAT(error_of([&] { load(dir.path().string(), 2); }), Contains("not 2"));
}

TEST_CASE("CIFAR-10's files that are missing or damaged are named", "[dataset]") {
  TempDir dir;
  const std::string folder = dir.path().string();
  write_cifar(dir);
  SECTION("missing") {
    fs::remove(dir.file("data_batch_3.bin"));
    fs::remove(dir.file("test_batch.bin"));
    CHECK_THAT(complaint_of(folder), Contains("no file data_batch_3.bin, test_batch.bin"));
  }
  SECTION("cut off") {
    dir.write("data_batch_2.bin", cifar_record(1).substr(1));
    CHECK_THAT(complaint_of(folder), Contains("data_batch_2.bin'") && Contains("3072 bytes"));
  }
  SECTION("empty") {
    dir.write("test_batch.bin", "");
    CHECK_THAT(complaint_of(folder), Contains("test_batch.bin'"));
  }
  SECTION("CIFAR-100, or anything else") {
    dir.write("data_batch_5.bin", cifar_record(3) + cifar_record(10));
    CHECK_THAT(complaint_of(folder), Contains("data_batch_5.bin'") && Contains("record 1 has the label 10"));
  }
}

TEST_CASE("a folder of PNG images is parted by the seed", "[dataset]") {
  TempDir dir;
  for (int i = 0; i < 12; ++i) dir.write("image" + std::to_string(i) + ".png", grey_png(3, 2, std::uint8_t(i)));
  dir.write("notes.txt", "no image");
  dir.write(".hidden.png", "no image");
  const Dataset dataset = load(dir.path().string());
  CHECK(dataset.rows == 2);
  CHECK(dataset.cols == 3);
  CHECK(dataset.channels == 1);
  REQUIRE(dataset.train.count == 12);
  // By the bytes of their names: 0, 1, 10, 11, 2, ...
  std::vector<int> levels;
  for (std::size_t i = 0; i < 12; ++i) levels.push_back(dataset.train.images[6 * i]);
  CHECK(levels == std::vector<int>{0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(all_numbers(dataset, 4) == first_integers(12));
  CHECK(select_examples(dataset, Subset::kValidation, 4).index.size() == 1);
  const ExampleSet test = select_examples(dataset, Subset::kTest, 4);
  CHECK(gather(test, 6, 0, 1) == Bytes(6, std::uint8_t(levels[test.index[0]])));
  CHECK(load(dir.path().string(), 3).train.images.size() == 12 * 18);

  // One in colour makes all colour; the ending may be in capitals.
  dir.write("colour.PNG", png_bytes(3, 2, 8, 2, std::string(20, '\0')));
  const Dataset colour = load(dir.path().string());
  CHECK(colour.channels == 3);
  CHECK(colour.train.count == 13);
  CHECK(Bytes(&colour.train.images[18 * 3], &colour.train.images[18 * 3 + 3]) == Bytes{10, 10, 10});

  dir.write("image2.png", grey_png(2, 3, 0));
  CHECK_THAT(complaint_of(dir.path().string()),
             Contains("image2.png' has 3x2 pixels") && Contains("colour.PNG' 2x3") && Contains("one size"));
  dir.write("image2.png", "nonsense");
  CHECK_THAT(complaint_of(dir.path().string()), Contains("image2.png'"));
}

TEST_CASE("a folder of PNG images may part them itself", "[dataset]") {
  TempDir dir;
  const auto fill = [&](const std::string& name, int count) {
    fs::create_directories(dir.path() / name);
    for (int i = 0; i < count; ++i) dir.write(name + "/" + std::to_string(i) + ".png", grey_png(1, 1, std::uint8_t(i)));
  };
  const std::string folder = dir.path().string();
  fill("train", 7);
  CHECK_THAT(complaint_of(folder), Contains("/test'"));
  fs::create_directories(dir.path() / "test");
  CHECK_THAT(complaint_of(folder), Contains("/test' has no PNG image"));
  fill("test", 2);
  Dataset dataset = load(folder);
  CHECK(dataset.train.count == 7);
  CHECK(dataset.validation.count == 0);
  CHECK(select_examples(dataset, Subset::kValidation, 1).index == split_train_validation(7, 1).validation);
  CHECK(select_examples(dataset, Subset::kTrain, 1).index == split_train_validation(7, 1).train);
  fill("val", 3);
  dataset = load(folder);
  CHECK(select_examples(dataset, Subset::kTrain, 1).index == first_integers(7));
  CHECK(select_examples(dataset, Subset::kValidation, 1).index == first_integers(3));
  CHECK(select_examples(dataset, Subset::kValidation, 1).pixels == &dataset.validation.images);
  CHECK(select_examples(dataset, Subset::kTest, 1).index == first_integers(2));
  dir.write("val/x.png", grey_png(2, 1, 0));
  CHECK_THAT(complaint_of(folder), Contains("val/x.png' has 1x2"));
}

TEST_CASE("too few images are refused", "[dataset]") {
  TempDir dir;
  for (int i = 0; i < 9; ++i) dir.write(std::to_string(i) + ".png", grey_png(1, 1, 0));
  CHECK_THAT(complaint_of(dir.path().string()), Contains("9 PNG images") && Contains("at least 10"));
}

TEST_CASE("IDX images may be asked for in colour, and are no numbers", "[dataset]") {
  TempDir dir;
  for (const std::string prefix : {"train", "t10k"}) {
    dir.write(prefix + "-images-idx3-ubyte", idx_bytes(0x803, {1, 1, 2}, "ab"));
    dir.write(prefix + "-labels-idx1-ubyte", idx_bytes(0x801, {1}, "\x01"));
  }
  const Dataset colour = load(dir.path().string(), 3);
  CHECK(colour.channels == 3);
  CHECK(colour.test.images == Bytes{'a', 'a', 'a', 'b', 'b', 'b'});
  DatasetOptions options;
  options.source = dir.path().string();
  options.standardize = true;
  CHECK_THAT(error_of([&] { load_dataset(options); }), Contains("holds images"));
}

}  // namespace
}  // namespace flowsmith::core
