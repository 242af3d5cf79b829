// flowsmith bench: how fast the models and their kernels run, and how near the machine's ceiling.
#include <algorithm>
#include <optional>

#include "kernels/cpu/peak.h"
#include "tools/bench/benchmark.h"
#include "tools/device_options.h"
#include "tools/files.h"
#include "tools/progress.h"
#include "tools/table.h"
#include "tools/tool_list.h"

namespace flowsmith::core {
namespace {

constexpr const char* kDescription =
    "Measures training, scoring, sampling and single kernels.\n\n"
    "The benchmarks of one model, and then all kernels, are warmed up and take turns; the table shows the median call "
    "over the rounds, the fastest and the slowest. Operations are the multiply-adds of the networks' convolutions and "
    "fully connected layers, each counting two, and nothing else; a training step counts as three forward passes, "
    "with "
    "recompute as four. GB/s counts what a perfect kernel would move: every input read once, every output written "
    "once. The ceilings are measured between the others: multiply-adds on registers, and on a GPU also tensor cores "
    "(mma.sync) and a copy in its memory. A kernel whose tensors fit into the cache can exceed the copy. Launches are "
    "the nodes of the CUDA graph per call. What does not apply is '-' in the table and null in the JSON file. On a "
    "GPU, in fp32 and tf32, what has convolutions in it is measured again with cuDNN and cuBLAS in place of our "
    "kernels, where these libraries are found: NAME_cudnn. On a CPU with --nets bf16 it is measured again in fp32: "
    "NAME_fp32.\n";

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

/// A number in a table, or '-'.
std::string cell(std::optional<double> value, const char* format) { return value ? number_text(format, *value) : "-"; }

std::string percent(std::optional<double> share) {
  return cell(share ? std::optional(100 * *share) : std::nullopt, "%.1f %%");
}

void print_results(const BenchmarkReport& report) {
  std::vector<std::vector<std::string>> rows;
  for (const BenchmarkResult& r : report.results) {
    rows.push_back({r.name + "/" + r.model, std::to_string(r.batch), number_text("%.3f", r.median_s * 1e3),
                    number_text("%.3f", r.min_s * 1e3), number_text("%.3f", r.max_s * 1e3), cell(r.gflop_per_s, "%.1f"),
                    percent(r.share_of_peak), cell(r.gb_per_s, "%.1f"), percent(r.share_of_bandwidth),
                    cell(r.graph_nodes, "%.0f")});
  }
  print_table({{"benchmark", true},
               {"batch", false, 7},
               {"median, ms"},
               {"min, ms", false, 5},
               {"max, ms", false, 6},
               {"GFLOP/s", false, 3},
               {"of peak", false, 1},
               {"GB/s", false, 4},
               {"of copy", false, 2},
               {"launches", false, 8}},
              rows);
}

/// What the machine is, and what it can do at most.
void print_header(const BenchmarkOptions& which, const std::string& nets, const Ceilings& ceilings, int repeats) {
  const std::string rounds = "median of " + std::to_string(repeats) + " round" + (repeats == 1 ? "" : "s");
  if (is_host(which.device)) {
    const int threads = thread_count(which.device);
    std::printf("device %s, %d thread%s, SIMD target %s, %s\nmeasured multiply-add peak %.1f GFLOP/s\n",
                device_name(which.device).c_str(), threads, threads == 1 ? "" : "s", cpu::simd_target().c_str(),
                rounds.c_str(), ceilings.fp32_gflop_per_s);
    if (which.device.precision == NetPrecision::kBf16) {
      std::printf("networks in %s, measured peak %.1f GFLOP/s\n", nets.c_str(), ceilings.bf16_gflop_per_s);
    }
    std::printf("\n");
  } else {
    std::printf(
        "device %s, networks in %s, %s\n"
        "measured peaks: multiply-add %.0f GFLOP/s (fp32), mma.sync %.0f (tf32) and\n"
        "%.0f (bf16), copy %.0f GB/s\n\n",
        describe_device(which.device).c_str(), nets.c_str(), rounds.c_str(), ceilings.fp32_gflop_per_s,
        ceilings.tf32_gflop_per_s, ceilings.bf16_gflop_per_s, ceilings.copy_gb_per_s);
  }
}

int bench(const cxxopts::ParseResult& options) {
  BenchmarkOptions which;
  which.edition = options["edition"].as<std::string>();
  which.device = device_from(options);
  // The reference kernels run on one thread, and so does the peak that they are held against.
  if (which.device.kind == DeviceKind::kReference) which.device.threads = 1;
  which.batch = options["batch"].as<int>();
  if (options.count("batch") > 0) which.inference_batch = which.batch;
  if (which.batch < 1) throw Error("--batch must be 1 or more");
  which.recompute = options["recompute"].as<bool>();
  which.growth = options["growth"].as<bool>();
  const int repeats = options["repeats"].as<int>();
  if (repeats < 1) throw Error("--repeats must be 1 or more");
  const bool bf16 = which.device.precision == NetPrecision::kBf16;
  which.cudnn = !is_host(which.device) && !bf16 && which.device.conv == ConvAlgorithm::kFused;
  which.fp32 = which.device.kind == DeviceKind::kCpu && bf16;
  auto selected = select_benchmarks(list_benchmarks(which), options["filter"].as<std::string>());
  keep_possible(selected);
  if (selected.empty()) throw Error("cuDNN or cuBLAS is missing: --conv cudnn says what was looked for");
  const std::string path = options.count("json") > 0 ? output_named(options["json"].as<std::string>()) : "";
  std::optional<AtomicFile> json;
  if (!path.empty()) json.emplace(path);  // before the minutes of measuring: a bad path shows at once

  std::optional<ProgressLine> line;
  if (isatty(fileno(stderr))) line.emplace(stderr);
  const BenchmarkReport report =
      run_benchmarks(selected, which, repeats, [&](const std::string& what, std::optional<double> eta) {
        if (!line) return;
        std::vector<ProgressPart> parts{{what, 1}};
        if (eta) parts.push_back({clock_text(*eta) + " left of this group"});
        line->show({}, parts, true);
      });
  line.reset();
  print_header(which, options["nets"].as<std::string>(), report.ceilings, repeats);
  print_results(report);
  if (json) {
    json->write(to_json(report.results));
    json->commit();
  }
  return 0;
}

}  // namespace

int bench_tool(int argc, char** argv) {
  cxxopts::Options options("flowsmith bench", std::string(kDescription) + "\nNames: " + benchmark_names() + "\n");
  // clang-format off
  options.add_options()
      ("filter", "Regular expression (ECMAScript) searched in NAME/MODEL, e.g. 'gated_block.*/28x28x32'",
       cxxopts::value<std::string>()->default_value(""))
      ("batch", "Images per call; scoring and sampling take 64 unless this option is given",
       cxxopts::value<int>()->default_value("128"))
      ("repeats", "Rounds", cxxopts::value<int>()->default_value("5"))
      ("edition", "of the tutorial: 2024, 2022 or jax", cxxopts::value<std::string>()->default_value("2024"))
      ("recompute", "Training steps with recompute too (see flowsmith train): train_step_recompute (default: off)",
       cxxopts::value<bool>()->default_value("false"))
      ("growth", "Training steps of the tutorial's models of twice the batch, couplings and side, and on one thread, too: "
       "how time grows with the work (default: off)",
       cxxopts::value<bool>()->default_value("false"))
      ("json", "Also write the results to this file; - is stdout (default: none)", cxxopts::value<std::string>());
  // clang-format on
  add_device_options(options, "cpu");
  return run_tool("flowsmith bench", options, argc, argv, bench);
}

}  // namespace flowsmith::core
