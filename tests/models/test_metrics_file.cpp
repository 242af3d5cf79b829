// metrics.csv read back.
#include <catch2/catch.hpp>

#include "engine/file.h"
#include "models/runs/metrics_file.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

const std::string kHeader = "step,epoch,train_nats,val_nats,test_nats,gradient_norm,learning_rate,rows_per_second\n";

TEST_CASE("metrics are read by the names of their columns", "[training]") {
  const TempDir dir;
  const std::string path = dir.file("metrics.csv");
  const auto read = [&](const std::string& text) {
    write_file_atomically(path, text);
    return read_metrics(path);
  };
  const RunMetrics m = read(kHeader + "1,1,-3.5,,,1,0.001,50\n2,1,,-2e0,,,,\r\n2,1,,,1,,,\n3,1,nan,inf,,,,\n4,1,9");
  CHECK(m.unit == "nats");
  CHECK(m.training.values == std::vector<double>{-3.5});
  CHECK(m.validation.steps == std::vector<double>{2});
  CHECK(m.validation.values == std::vector<double>{-2});
  CHECK(m.test.values == std::vector<double>{1});
  CHECK(m.speed.values == std::vector<double>{50});
  CHECK(read(kHeader).training.values.empty());
  for (const std::string text : {"", "\n", "step\n", "a,b,c\n1,2,3\n"}) {
    CHECK_THAT(error_of([&] { read(text); }), Contains("not the metrics.csv of a run"));
  }
  for (const std::string row : {"1,1,1,,,,,,\n", "1\n", "\n", ",1,1,,,,,\n", "1,1,0x,,,,,\n", "1,1,1e999,,,,,\n"}) {
    CHECK_THAT(error_of([&] { read(kHeader + row); }), Contains("line 2"));
  }
}

TEST_CASE("a long curve is thinned to means", "[training]") {
  MetricCurve curve;
  for (int i = 0; i < 1000; ++i) {
    curve.steps.push_back(i);
    curve.values.push_back(2.0 * i);
  }
  const MetricCurve thin = thinned(curve, 7);
  REQUIRE(thin.steps.size() == 7);
  for (std::size_t i = 0; i < 7; ++i) CHECK(thin.values[i] == Approx(2 * thin.steps[i]));
  CHECK(thin.steps[0] == Approx(70.5));  // the mean of 0 to 141
  CHECK(thinned(curve, 1000).values == curve.values);
  CHECK(thinned({}, 5).values.empty());
}

}  // namespace
}  // namespace flowsmith::core
