// What flow-bench measures, and how.
//
// Every benchmark is warmed up first: its memory is laid out and touched. Then come rounds in which each benchmark is
// measured once, so that whatever else the machine does meets all of them alike. Calls shorter than 20 ms are repeated
// until they fill that time; what counts is the time of one call. Before each measurement the multiply-add peak is
// measured for as long.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/flow.h"

namespace flowsmith {

struct BenchmarkOptions {
  Edition edition = Edition::k2024;
  Device device = Device::kCpu;
  int batch = 128;           ///< of training steps and kernels
  int inference_batch = 64;  ///< of scoring and sampling
};

struct Benchmark {
  std::string name;   ///< "train_step"
  std::string model;  ///< "multiscale"; for a kernel the maps it works on, "28x28x32"
  int batch = 0;
  /// Operations of one call: a multiply-add of a convolution counts two, everything else nothing. 0 without
  /// convolutions: there the time goes into memory and exponentials, and a share of the peak would say nothing.
  double flops = 0;
  /// Makes the inputs and returns the call to measure, which owns them.
  std::function<std::function<void()>()> prepare;

  std::string full_name() const { return name + "/" + model; }
};

/// Convolution operations of the forward pass of one image; without the dequantization those of sampling, which does
/// not run the couplings of variational dequantization.
double forward_flops(const Flow& flow, bool with_dequantization);

/// train_step, score and sample of every model, then the kernels.
std::vector<Benchmark> list_benchmarks(const BenchmarkOptions& options);

/// Those whose full name holds a match of the ECMAScript regular expression `filter`. Throws Error if it is not one or
/// nothing matches.
std::vector<Benchmark> select_benchmarks(const std::vector<Benchmark>& benchmarks, const std::string& filter);

struct BenchmarkResult {
  std::string name, model;
  int batch = 0, threads = 0;
  double median_s = 0, min_s = 0, max_s = 0;  ///< of one call, over the rounds
  std::optional<double> gflop_per_s;          ///< at the median
  std::optional<double> share_of_peak;        ///< 1 is the peak
};

struct BenchmarkReport {
  double peak_gflop_per_s = 0;  ///< median of all measurements of the peak
  std::vector<BenchmarkResult> results;
};

/// The middle value, or the mean of the two middle ones.
double median(std::vector<double> values);

/// The result of one benchmark from the seconds of a call in every round.
BenchmarkResult summarise(const Benchmark& benchmark, const std::vector<double>& seconds, int threads,
                          double peak_gflop_per_s);

/// Runs on `threads` threads, which the caller has set. `progress(what, eta_seconds)` is called before each
/// measurement; the ETA is missing while warming up.
BenchmarkReport run_benchmarks(const std::vector<Benchmark>& benchmarks, int repeats, int threads,
                               const std::function<void(const std::string&, std::optional<double>)>& progress);

/// An array with one object per result, its fields named as in BenchmarkResult; null where there is no value.
std::string to_json(const std::vector<BenchmarkResult>& results);

}  // namespace flowsmith
