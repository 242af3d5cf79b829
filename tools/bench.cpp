// flow-bench: how fast the models and their kernels run, and how near the machine's ceiling.
#include <algorithm>
#include <optional>

#include "engine/file.h"
#include "kernels/cpu/peak.h"
#include "models/benchmark.h"
#include "tools/progress.h"
#include "tools/tool.h"

namespace flowsmith {
namespace {

constexpr const char* kDescription =
    "Measures training, scoring, sampling and single kernels.\n\n"
    "All selected benchmarks are warmed up and stay in memory (6 GB at the default batch); then they take turns, and\n"
    "the table shows the median call over the rounds, the fastest and the slowest. GFLOP/s counts the multiply-adds\n"
    "of convolutions as two operations and nothing else; a training step counts as three forward passes. The peak\n"
    "is measured between the others: multiply-adds on registers, on as many threads. Kernels without convolutions\n"
    "have no such figure: '-' in the table, null in the JSON file.\n";

/// "train_step, score, ...": every name once.
std::string benchmark_names() {
  std::string names;
  for (const Benchmark& b : list_benchmarks({})) {
    if ((", " + names + ",").find(", " + b.name + ",") == std::string::npos) {
      names += (names.empty() ? "" : ", ") + b.name;
    }
  }
  return names;
}

void print_table(const BenchmarkReport& report) {
  std::size_t width = 0;
  for (const BenchmarkResult& r : report.results) width = std::max(width, r.name.size() + r.model.size() + 1);
  std::printf("%-*s %6s %12s %12s %12s %9s %8s\n", int(width), "benchmark", "batch", "median, ms", "min, ms", "max, ms",
              "GFLOP/s", "of peak");
  for (const BenchmarkResult& r : report.results) {
    std::printf("%-*s %6d %12.3f %12.3f %12.3f ", int(width), (r.name + "/" + r.model).c_str(), r.batch,
                r.median_s * 1e3, r.min_s * 1e3, r.max_s * 1e3);
    if (r.gflop_per_s && r.share_of_peak) {
      std::printf("%9.1f %6.1f %%\n", *r.gflop_per_s, 100 * *r.share_of_peak);
    } else {
      std::printf("%9s %8s\n", "-", "-");
    }
  }
}

int bench(const cxxopts::ParseResult& options) {
  BenchmarkOptions which;
  which.edition = parse_edition(options["edition"].as<std::string>());
  which.device = parse_device(options["device"].as<std::string>());
  which.batch = options["batch"].as<int>();
  if (options.count("batch") > 0) which.inference_batch = which.batch;
  if (which.batch < 1) throw Error("--batch must be 1 or more");
  const int repeats = options["repeats"].as<int>();
  if (repeats < 1) throw Error("--repeats must be 1 or more");
  // The reference kernels run on one thread, and so does the peak that they are held against.
  const int threads = set_thread_count(which.device == Device::kReference ? 1 : options["threads"].as<int>());
  const auto selected = select_benchmarks(list_benchmarks(which), options["filter"].as<std::string>());
  const std::string path = options["json"].as<std::string>();
  std::optional<AtomicFile> json;
  if (!path.empty()) json.emplace(path);  // before the minutes of measuring: a bad path shows at once

  std::optional<ProgressLine> line;
  if (isatty(fileno(stderr))) line.emplace(stderr);
  const BenchmarkReport report =
      run_benchmarks(selected, repeats, threads, [&](const std::string& what, std::optional<double> eta) {
        if (line) line->show(what + (eta ? ", ETA " + clock_text(*eta) : ""), true);
      });
  line.reset();
  std::printf(
      "device %s, %d thread%s, SIMD target %s, measured multiply-add peak %.1f GFLOP/s, median of %d round%s\n\n",
      device_name(which.device).c_str(), threads, threads == 1 ? "" : "s", cpu::simd_target().c_str(),
      report.peak_gflop_per_s, repeats, repeats == 1 ? "" : "s");
  print_table(report);
  if (json) {
    json->write(to_json(report.results));
    json->commit();
  }
  return 0;
}

}  // namespace
}  // namespace flowsmith

int main(int argc, char** argv) {
  using namespace flowsmith;
  cxxopts::Options options("flow bench", std::string(kDescription) + "\nNames: " + benchmark_names() + "\n");
  // clang-format off
  options.add_options()
      ("filter", "Regular expression (ECMAScript) searched in NAME/MODEL, e.g. 'gated_block.*/28x28x32'",
       cxxopts::value<std::string>()->default_value(""))
      ("batch", "Images per call; scoring and sampling take 64 unless this option is given",
       cxxopts::value<int>()->default_value("128"))
      ("threads", "0: one per core; the reference device always uses one",
       cxxopts::value<int>()->default_value("0"))
      ("repeats", "Rounds", cxxopts::value<int>()->default_value("5"))
      ("edition", "of the tutorial: 2024 or 2022", cxxopts::value<std::string>()->default_value("2024"))
      ("device", "auto, cpu or reference", cxxopts::value<std::string>()->default_value("cpu"))
      ("json", "Also write the results to this file", cxxopts::value<std::string>()->default_value(""));
  // clang-format on
  return run_tool("flow bench", options, argc, argv, bench);
}
