#include <cmath>
#include <filesystem>

#include "data/csv.h"
#include "data/npy.h"
#include "data/sources.h"
#include "engine/file.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

constexpr std::size_t kMinRows = 10;  // of which a tenth is one row for validation and one for the test

std::string ending(const std::string& path) { return std::filesystem::path(path).extension().string(); }

Table read_npy_table(const std::string& path) {
  const NamedTensor array = read_npy(path);
  const auto fail = [&](const std::string& why, const std::string& remedy) {
    throw Error("cannot take " + in_quotes(path) + " as a table: " + why + "; " + remedy);
  };
  if (array.shape.empty() || array.shape.size() > 2) {
    fail("its shape is " + shape_text(array.shape), "give an array of rows and columns");
  }
  Table table;
  table.rows = static_cast<std::size_t>(array.shape[0]);
  table.columns = array.shape.size() == 2 ? static_cast<std::size_t>(array.shape[1]) : 1;
  if (table.rows == 0 || table.columns == 0) fail("its shape is " + shape_text(array.shape), "give at least one row");
  if (table.columns > kMaxColumns) {
    fail("it has " + std::to_string(table.columns) + " columns, more than " + std::to_string(kMaxColumns),
         "give a narrower array");
  }
  table.values = numbers_of(array.dtype, array.data);
  for (std::size_t i = 0; i < table.values.size(); ++i) {
    if (!std::isfinite(table.values[i])) {
      fail("row " + std::to_string(i / table.columns) + ", column " + std::to_string(i % table.columns) +
               " (from 0) is not finite",
           "remove such rows");
    }
  }
  return table;
}

}  // namespace

bool is_table(const std::string& path) {
  return ending(path) == ".npy" || ending(path) == ".npz" || ending(path) == ".csv";
}

Dataset load_table(const std::string& path) {
  Table table = ending(path) == ".csv" ? read_csv(path) : read_npy_table(path);
  if (table.rows < kMinRows || table.rows > INT32_MAX) {
    throw Error("cannot take " + in_quotes(path) + " as a dataset: it has " + std::to_string(table.rows) +
                " rows; give at least " + std::to_string(kMinRows) + ", for training, validation and test");
  }
  Dataset dataset;
  dataset.name = std::filesystem::path(path).stem().string();
  dataset.kind = ExampleKind::kNumbers;
  dataset.rows = dataset.cols = 1;
  dataset.channels = static_cast<int>(table.columns);
  dataset.train = {static_cast<int>(table.rows), {}, std::move(table.values), {}};
  return dataset;
}

}  // namespace flowsmith::core
