// What flowsmith bench reports: operation counts, the choice of benchmarks, statistics and JSON.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/cpu/peak.h"
#include "tests/support/bf16_model.h"
#include "tests/support/error_of.h"
#include "tools/bench/benchmark.h"

namespace flowsmith::core {
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
  const Flow simple(FlowConfig::named("simple")), vardeq(FlowConfig::named("vardeq")),
      multi(FlowConfig::named("multiscale"));
  // Sums of integers far below 2^53: exact.
  CHECK(forward_flops(simple, true) == 2 * 432918528.0);  // the formula above by hand, for the simple flow
  CHECK(forward_flops(simple, true) == 2 * 8 * checkerboard);
  CHECK(forward_flops(simple, false) == forward_flops(simple, true));
  CHECK(forward_flops(vardeq, true) == 2 * (dequantization + 8 * checkerboard));
  CHECK(forward_flops(vardeq, false) == 2 * 8 * checkerboard);
  CHECK(forward_flops(multi, true) == 2 * (dequantization + multiscale));
  CHECK(forward_flops(multi, false) == 2 * multiscale);
  // The 2022 edition has no ELU-concat in front of a block: half the input channels of its 3x3 convolution.
  const Flow old(FlowConfig::named("simple_2022"));
  CHECK(forward_flops(simple, true) - forward_flops(old, true) == 2.0 * 784 * 8 * 3 * 9 * 32 * 32);
}

TEST_CASE("operations of the papers' models are those of their convolutions and fully connected layers") {
  const auto conv = [](int side, int kernel, int c_in, int c_out) {
    return 2.0 * side * side * kernel * kernel * c_in * c_out;
  };
  // Two networks 2-256-256-2 in each of eight couplings.
  CHECK(forward_flops(Flow(FlowConfig::named("moons")), true) == 8 * 2 * 2.0 * (2 * 256 + 256 * 256 + 256 * 2));
  CHECK(forward_flops(Flow(FlowConfig::named("nice")), true) == 4 * 2.0 * (784 * 1000 + 4 * 1000 * 1000 + 1000 * 784));
  const auto resnet = [&](int side, int channels, int hidden) {
    return conv(side, 3, channels, hidden) + 4 * conv(side, 3, hidden, hidden) + conv(side, 1, hidden, 2 * channels);
  };
  CHECK(forward_flops(Flow(FlowConfig::named("realnvp")), true) ==
        3 * (resnet(28, 1, 32) + resnet(14, 4, 48) + resnet(14, 2, 48) + resnet(7, 8, 64)) + 4 * resnet(7, 4, 64));
  // Of a step the network; between the scales the learned prior, which sees two channels and gives two numbers for each
  // of the other two.
  const auto step = [&](int side, int channels) {
    return conv(side, 3, channels, 64) + conv(side, 1, 64, 64) + conv(side, 3, 64, 2 * channels);
  };
  const double prior = conv(14, 3, 4, 8);
  CHECK(forward_flops(Flow(FlowConfig::named("glow")), true) == 16 * (step(14, 4) + step(7, 8)) + prior);
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
                            b.name.find("dense") != std::string::npos || b.name == "train_step" || b.name == "score" ||
                            b.name == "sample"));
    const bool whole_model = b.group == b.model;
    CHECK(whole_model == (b.name == "train_step" || b.name == "score" || b.name == "sample"));
    CHECK((b.bytes > 0) == !whole_model);
  }
  options.recompute = true;
  const std::vector<Benchmark> more = list_benchmarks(options);
  CHECK(more.size() == list.size() + std::size(kTutorialModels) + std::size(kPaperModels));
  CHECK(select_benchmarks(more, "train_step_recompute/simple").front().flops == 4 * 6 * 2 * 432918528.0);
  const double block = 2.0 * 784 * (9 * 64 * 32 + 64 * 64);
  CHECK(select_benchmarks(list, "gated_block_forward/28x28x32").front().flops == 6 * block);
  CHECK(select_benchmarks(list, "gated_block_backward/28x28x32").front().flops == 2 * 6 * block);
  CHECK(select_benchmarks(list, "train_step/simple").front().flops == 3 * 6 * 2 * 432918528.0);
  CHECK(select_benchmarks(list, "score/simple").front().flops == 5 * 2 * 432918528.0);
  // docs/kernels.md: x, y and 3 C saved per pixel; dy, z, st in and dz, dst out; 1 byte beside the floats.
  const double weights = 9 * 64 * 32 + 64 * 64 + 5 * 32;
  CHECK(select_benchmarks(list, "gated_block_forward/28x28x32").front().bytes == 4 * (6 * 784 * 5 * 32 + weights));
  CHECK(select_benchmarks(list, "coupling_backward/7x7x8").front().bytes == 4 * 6 * 7 * 7 * 7 * 8);
  CHECK(select_benchmarks(list, "dequantize").front().bytes == 6 * 784 * (1 + 4 + 4));
  CHECK(select_benchmarks(list, "adam/simple").front().bytes == 4 * 8 * 556312.0);
}

TEST_CASE("training steps of twice the size count the work of that size") {
  BenchmarkOptions options;
  options.batch = 6;
  const std::vector<Benchmark> list = list_benchmarks(options);
  options.growth = true;
  const std::vector<Benchmark> more = list_benchmarks(options);
  CHECK(more.size() == list.size() + 3 * 4);
  const auto flops = [&](const std::string& name) { return select_benchmarks(more, "^" + name + "$").front().flops; };
  const double one = flops("train_step/simple");
  CHECK(flops("train_step_2x_batch/simple") == 2 * one);
  CHECK(flops("train_step_2x_couplings/simple") == 2 * one);  // it has nothing but couplings
  CHECK(flops("train_step_2x_side/simple") == 4 * one);
  CHECK(flops("train_step_1_thread/simple") == one);
  CHECK(select_benchmarks(more, "2x_batch/multiscale").front().batch == 12);
  options.device = Device::kEmulated;  // its threads are its own affair
  CHECK(list_benchmarks(options).size() == list.size() + 3 * 3);
}

TEST_CASE("a run on one thread stands beside one on all of them") {
  BenchmarkOptions options;
  options.device.threads = 2;
  options.batch = 1;
  options.growth = true;
  const BenchmarkReport report =
      run_benchmarks(select_benchmarks(list_benchmarks(options), "^train_step(_1_thread)?/multiscale"), options, 1,
                     [](const std::string&, std::optional<double>) {});
  REQUIRE(report.results.size() == 2);
  CHECK(report.results[0].threads == 2);
  CHECK(report.results[0].share_of_peak);
  CHECK(report.results[1].threads == 1);
  CHECK_FALSE(report.results[1].share_of_peak);  // that of two threads is no ceiling of one
}

TEST_CASE("what cuDNN computes stands behind its twin, and is left out where there is no cuDNN") {
  BenchmarkOptions options;
  options.device = Device::kEmulated;
  const std::size_t ours = list_benchmarks(options).size();
  options.cudnn = true;
  std::vector<Benchmark> list = list_benchmarks(options);
  std::size_t count = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i].device.conv != ConvAlgorithm::kCudnn) continue;
    ++count;
    CHECK(list[i].name == list[i - 1].name + "_cudnn");
    CHECK(list[i].model == list[i - 1].model);
    CHECK(list[i].flops == list[i - 1].flops);
    CHECK(list[i].flops > 0);
  }
  CHECK(list.size() == ours + count);
  // train_step of five models; at four sizes the block and three convolutions, at five one of the papers' models.
  CHECK(count == 5 + 4 * (2 + 3 * 3) + 5 * 3);
  keep_possible(list);
  CHECK(list.size() == ours);
}

TEST_CASE("the benchmarks of a group stand together") {
  std::vector<std::string> groups;
  for (const Benchmark& b : list_benchmarks({})) {
    if (groups.empty() || groups.back() != b.group) groups.push_back(b.group);
  }
  CHECK(groups ==
        std::vector<std::string>{"simple", "vardeq", "multiscale", "moons", "nice", "realnvp", "glow", "kernels"});
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
  Benchmark benchmark{"conv", "1x1x1", "kernels", Device::kCpu, 7, 6e9, 0, {}};
  const BenchmarkOptions options;
  const Ceilings ceilings{12, 48, 96, 5};
  BenchmarkResult result = summarise(benchmark, options, {3, 1, 2}, ceilings);
  CHECK(result.median_s == 2);
  CHECK(result.min_s == 1);
  CHECK(result.max_s == 3);
  CHECK(result.gflop_per_s == 3.0);
  CHECK(result.share_of_peak == 0.25);
  CHECK_FALSE(result.gb_per_s);
  CHECK_FALSE(result.graph_nodes);
  benchmark.device.precision = NetPrecision::kTf32;
  CHECK(summarise(benchmark, options, {2}, ceilings).share_of_peak == 3.0 / 48);
  benchmark.device.precision = NetPrecision::kBf16;
  CHECK(summarise(benchmark, options, {2}, ceilings).share_of_peak == 3.0 / 96);
  benchmark.flops = 0;
  benchmark.bytes = 2e9;
  result = summarise(benchmark, options, {3, 1, 2}, ceilings);
  CHECK_FALSE(result.gflop_per_s);
  CHECK_FALSE(result.share_of_peak);
  CHECK(result.gb_per_s == 1.0);
  CHECK(result.share_of_bandwidth == 0.2);
  CHECK_FALSE(summarise(benchmark, options, {2}, {12}).share_of_bandwidth);  // the host's copy is not measured
}

TEST_CASE("the JSON report") {
  const nlohmann::json report =
      nlohmann::json::parse(to_json({{"score", "simple", "cuda", 64, 2, 0.5, 0.25, 1.0, 80.0, 0.5, 20.0, 0.125, 345.0},
                                     {"squeeze", "28x28x1", "cpu", 128, 2, 0.5, 0.5, 0.5, {}, {}, {}, {}, {}}}));
  REQUIRE(report.size() == 2);
  CHECK(report[0] == nlohmann::json{{"name", "score"},
                                    {"model", "simple"},
                                    {"device", "cuda"},
                                    {"batch", 64},
                                    {"threads", 2},
                                    {"median_s", 0.5},
                                    {"min_s", 0.25},
                                    {"max_s", 1.0},
                                    {"gflop_per_s", 80.0},
                                    {"share_of_peak", 0.5},
                                    {"gb_per_s", 20.0},
                                    {"share_of_bandwidth", 0.125},
                                    {"graph_nodes", 345.0}});
  CHECK(report[1].size() == report[0].size());
  for (const char* const name : {"gflop_per_s", "share_of_peak", "gb_per_s", "share_of_bandwidth", "graph_nodes"}) {
    CHECK(report[1][name].is_null());
  }
}

TEST_CASE("every benchmark runs") {
  BenchmarkOptions options;
  options.device.threads = 2;
  options.batch = options.inference_batch = 1;
  // The smallest of the models and of the sizes of each kernel.
  const auto selected = select_benchmarks(list_benchmarks(options), "/(multiscale|moons|7x7.*|28x28x1|14x14x4|2x256)$");
  std::set<std::string> all, chosen;
  for (const Benchmark& b : list_benchmarks(options)) all.insert(b.name);
  for (const Benchmark& b : selected) chosen.insert(b.name);
  CHECK(chosen == all);
  int warm_ups = 0, measurements = 0;
  const BenchmarkReport report =
      run_benchmarks(selected, options, 1,
                     [&](const std::string&, std::optional<double> eta) { (eta ? measurements : warm_ups) += 1; });
  CHECK(warm_ups == int(selected.size()));
  CHECK(measurements == int(selected.size()));
  CHECK(report.ceilings.fp32_gflop_per_s > 0);
  CHECK(report.ceilings.copy_gb_per_s == 0);
  REQUIRE(report.results.size() == selected.size());
  for (const BenchmarkResult& r : report.results) {
    INFO(r.name);
    CHECK(r.median_s > 0);
    CHECK(r.threads == 2);
    // A benchmark above the ceiling would mean that one of the two numbers is wrong; twice leaves room for a busy
    // machine, which slows the one and not the other.
    if (r.share_of_peak) CHECK(*r.share_of_peak < 2);
    CHECK(r.device == "cpu");
    CHECK_FALSE(r.share_of_bandwidth);
    CHECK_FALSE(r.graph_nodes);
  }
  CHECK_THROWS_AS(run_benchmarks(selected, options, 0, {}), Error);
}

TEST_CASE("networks of the host in bf16 are held against the peak of bf16") {
  BenchmarkOptions options;
  options.device = kBf16Model;
  options.fp32 = true;
  options.batch = options.inference_batch = 1;
  const auto selected =
      select_benchmarks(list_benchmarks(options), "^(gated_block_forward(_fp32)?/7x7x64|score(_fp32)?/multiscale)$");
  const BenchmarkReport report = run_benchmarks(selected, options, 1, [](const std::string&, std::optional<double>) {});
  CHECK(report.ceilings.bf16_gflop_per_s > 0);
  REQUIRE(report.results.size() == 4);
  for (int i = 0; i < 4; ++i) {
    const BenchmarkResult& r = report.results[i];
    CHECK(r.name == (i < 2 ? "score" : "gated_block_forward") + std::string(i % 2 == 0 ? "" : kFp32Suffix));
    const double peak = i % 2 == 0 ? report.ceilings.bf16_gflop_per_s : report.ceilings.fp32_gflop_per_s;
    CHECK(*r.share_of_peak == *r.gflop_per_s / peak);
  }
}

TEST_CASE("kernels of a GPU are replayed and held against its ceilings", "[gpu]") {
  BenchmarkOptions options;
  options.device = Device::kEmulated;
  options.batch = 1;
  const auto selected = select_benchmarks(list_benchmarks(options), "^(squeeze/28x28x1|coupling_.*/7x7x8|split/.*)$");
  REQUIRE(selected.size() == 4);
  const BenchmarkReport report = run_benchmarks(selected, options, 2, [](const std::string&, std::optional<double>) {});
  for (const double ceiling : {report.ceilings.fp32_gflop_per_s, report.ceilings.tf32_gflop_per_s,
                               report.ceilings.bf16_gflop_per_s, report.ceilings.copy_gb_per_s}) {
    CHECK(ceiling > 0);
  }
  for (const BenchmarkResult& r : report.results) {
    INFO(r.name);
    CHECK(r.device == "emulated");
    CHECK(r.gb_per_s > 0.0);
    CHECK(r.share_of_bandwidth > 0.0);
    REQUIRE(r.graph_nodes);
    CHECK(*r.graph_nodes >= 1);
    CHECK(*r.graph_nodes <= 4);
    if (r.name == "squeeze") CHECK(*r.graph_nodes == 1);  // per call, not of the ten that a graph replays
  }
}

TEST_CASE("the measured peak is that of a machine") {
  CHECK_FALSE(cpu::simd_target().empty());
  const double peak = cpu::measure_fma_peak(0.01);
  CHECK(peak > 1e8);   // no machine of today is that slow, even under a sanitizer
  CHECK(peak < 1e14);  // nor has one thousands of cores: the work was left out
}

}  // namespace
}  // namespace flowsmith::core
