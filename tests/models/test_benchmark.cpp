// What flow-bench reports: operation counts, the choice of benchmarks, statistics and JSON.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/cpu/peak.h"
#include "models/benchmark.h"
#include "tests/support/error_of.h"

namespace flowsmith {
namespace {

/// Multiply-adds of one image through a conditioner of the 2024 edition on maps of h*w pixels.
double network_multiply_adds(int h, int w, int c_in, int hidden, int c_out) {
  const double block = 9.0 * 2 * hidden * hidden + 4.0 * hidden * hidden;
  return h * w * (9.0 * c_in * hidden + 3 * block + 9.0 * 2 * hidden * c_out);
}

TEST_CASE("operations of the models are those of their convolutions") {
  const double dequantization = 4 * network_multiply_adds(28, 28, 2, 16, 2);
  const double checkerboard = network_multiply_adds(28, 28, 1, 32, 2);
  const double multiscale =
      2 * checkerboard + 2 * network_multiply_adds(14, 14, 4, 48, 8) + 4 * network_multiply_adds(7, 7, 8, 64, 16);
  const Flow simple({Architecture::kSimple}), vardeq({Architecture::kVardeq}), multi({Architecture::kMultiscale});
  // Sums of integers far below 2^53: exact.
  CHECK(forward_flops(simple, true) == 2 * 432918528.0);  // the formula above by hand, for the simple flow
  CHECK(forward_flops(simple, true) == 2 * 8 * checkerboard);
  CHECK(forward_flops(simple, false) == forward_flops(simple, true));
  CHECK(forward_flops(vardeq, true) == 2 * (dequantization + 8 * checkerboard));
  CHECK(forward_flops(vardeq, false) == 2 * 8 * checkerboard);
  CHECK(forward_flops(multi, true) == 2 * (dequantization + multiscale));
  CHECK(forward_flops(multi, false) == 2 * multiscale);
  // The 2022 edition has no ELU-concat in front of a block: half the input channels of its 3x3 convolution.
  const Flow old({Architecture::kSimple, Edition::k2022});
  CHECK(forward_flops(simple, true) - forward_flops(old, true) == 2.0 * 784 * 8 * 3 * 9 * 32 * 32);
}

TEST_CASE("benchmarks have names of their own, the batch asked for, and operations per call") {
  BenchmarkOptions options;
  options.batch = 6;
  options.inference_batch = 5;
  const std::vector<Benchmark> list = list_benchmarks(options);
  std::set<std::string> names;
  for (const Benchmark& b : list) {
    INFO(b.full_name());
    CHECK(names.insert(b.full_name()).second);
    CHECK(b.batch == (b.name == "score" || b.name == "sample" ? 5 : 6));
    CHECK((b.flops > 0) == (b.name.find("conv") != std::string::npos || b.name.find("gated") != std::string::npos ||
                            b.name == "train_step" || b.name == "score" || b.name == "sample"));
  }
  const double block = 2.0 * 784 * (9 * 64 * 32 + 64 * 64);
  CHECK(select_benchmarks(list, "gated_block_forward/28x28x32").front().flops == 6 * block);
  CHECK(select_benchmarks(list, "gated_block_backward/28x28x32").front().flops == 2 * 6 * block);
  CHECK(select_benchmarks(list, "train_step/simple").front().flops == 3 * 6 * 2 * 432918528.0);
  CHECK(select_benchmarks(list, "score/simple").front().flops == 5 * 2 * 432918528.0);
}

TEST_CASE("a filter is a regular expression searched in name/model") {
  const std::vector<Benchmark> list = list_benchmarks({});
  CHECK(select_benchmarks(list, "").size() == list.size());
  CHECK(select_benchmarks(list, "gated_block.*/28x28x32").size() == 2);
  CHECK(select_benchmarks(list, "^(train_step|score|sample)/vardeq$").size() == 3);
  CHECK(error_of([&] { select_benchmarks(list, "train_step("); }).find("'train_step('") != std::string::npos);
  CHECK(error_of([&] { select_benchmarks(list, "no\nsuch"); }).find("no benchmark matches") != std::string::npos);
  CHECK(error_of([&] { select_benchmarks(list, std::string(100000, '(')); }).find("too long") != std::string::npos);
  CHECK(error_of([&] { list_benchmarks({.batch = 0}); }).find("--batch") != std::string::npos);
}

TEST_CASE("statistics of the rounds") {
  CHECK(median({3, 1, 2}) == 2);
  CHECK(median({4, 1, 2, 8}) == 3);
  Benchmark benchmark{"conv", "1x1x1", 7, 6e9, {}};
  BenchmarkResult result = summarise(benchmark, {3, 1, 2}, 2, 12);
  CHECK(result.median_s == 2);
  CHECK(result.min_s == 1);
  CHECK(result.max_s == 3);
  CHECK(result.gflop_per_s == 3.0);
  CHECK(result.share_of_peak == 0.25);
  benchmark.flops = 0;
  result = summarise(benchmark, {3, 1, 2}, 2, 12);
  CHECK_FALSE(result.gflop_per_s);
  CHECK_FALSE(result.share_of_peak);
}

TEST_CASE("the JSON report") {
  const nlohmann::json report = nlohmann::json::parse(to_json(
      {{"score", "simple", 64, 2, 0.5, 0.25, 1.0, 80.0, 0.5}, {"squeeze", "28x28x1", 128, 2, 0.5, 0.5, 0.5, {}, {}}}));
  REQUIRE(report.size() == 2);
  CHECK(report[0] == nlohmann::json{{"name", "score"},
                                    {"model", "simple"},
                                    {"batch", 64},
                                    {"threads", 2},
                                    {"median_s", 0.5},
                                    {"min_s", 0.25},
                                    {"max_s", 1.0},
                                    {"gflop_per_s", 80.0},
                                    {"share_of_peak", 0.5}});
  CHECK(report[1].size() == 9);
  CHECK(report[1]["gflop_per_s"].is_null());
  CHECK(report[1]["share_of_peak"].is_null());
}

TEST_CASE("every benchmark runs") {
  BenchmarkOptions options;
  options.batch = options.inference_batch = 1;
  // The smallest of the models and of the sizes of each kernel.
  const auto selected = select_benchmarks(list_benchmarks(options), "/(multiscale|7x7.*|28x28x1|14x14x4)$");
  std::set<std::string> all, chosen;
  for (const Benchmark& b : list_benchmarks(options)) all.insert(b.name);
  for (const Benchmark& b : selected) chosen.insert(b.name);
  CHECK(chosen == all);
  int warm_ups = 0, measurements = 0;
  const BenchmarkReport report = run_benchmarks(
      selected, 1, 2, [&](const std::string&, std::optional<double> eta) { (eta ? measurements : warm_ups) += 1; });
  CHECK(warm_ups == int(selected.size()));
  CHECK(measurements == int(selected.size()));
  CHECK(report.peak_gflop_per_s > 0);
  REQUIRE(report.results.size() == selected.size());
  for (const BenchmarkResult& r : report.results) {
    INFO(r.name);
    CHECK(r.median_s > 0);
    CHECK(r.threads == 2);
    // A benchmark above the ceiling would mean that one of the two numbers is wrong; twice leaves room for a busy
    // machine, which slows the one and not the other.
    if (r.share_of_peak) CHECK(*r.share_of_peak < 2);
  }
  CHECK_THROWS_AS(run_benchmarks(selected, 0, 2, {}), Error);
}

TEST_CASE("the measured peak is that of a machine") {
  CHECK_FALSE(cpu::simd_target().empty());
  const double peak = cpu::measure_fma_peak(0.01);
  CHECK(peak > 1e8);   // no machine of today is that slow, even under a sanitizer
  CHECK(peak < 1e14);  // nor has one thousands of cores: the work was left out
}

}  // namespace
}  // namespace flowsmith
