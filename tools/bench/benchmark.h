// What flowsmith bench measures, and how.
//
// Benchmarks run in groups: those of one model, then all kernels. A group is warmed up first: its memory is laid out
// and touched, and on a GPU its graphs are captured. Then come rounds in which each of its benchmarks is measured once,
// so that whatever else the machine does meets all of them alike. Runs shorter than 20 ms are repeated until they fill
// that time; what counts is the time of one call. Before each measurement the machine's ceilings are measured.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/files/tutorial_files.h"
#include "models/flow.h"
#include "tools/bench/ceilings.h"

namespace flowsmith::core {

/// Ends the name of what cuDNN computes.
inline constexpr const char* kCudnnSuffix = "_cudnn";
/// Ends the name of what the host computes in fp32, beside networks in bf16.
inline constexpr const char* kFp32Suffix = "_fp32";
/// Ends the name of what is measured on one thread, beside the same on all of them.
inline constexpr const char* kOneThreadSuffix = "_1_thread";

inline constexpr const char* kTutorialModels[] = {"simple", "vardeq", "multiscale"};
inline constexpr const char* kPaperModels[] = {"moons", "nice", "realnvp", "glow"};

struct BenchmarkOptions {
  std::string edition = "2024";  ///< of the tutorial: "2024", "2022" or "jax"
  Device device = Device::kCpu;  ///< of everything but the twins
  bool recompute = false;        ///< training steps with recompute too (TrainingStep)
  bool growth = false;           ///< training steps of twice the size, and on one thread, too
  bool cudnn = false;            ///< everything with convolutions by cuDNN too (ConvAlgorithm)
  bool fp32 = false;             ///< on the host: everything with convolutions in fp32 too
  int batch = 128;               ///< of training steps and kernels
  int inference_batch = 64;      ///< of scoring and sampling
};

/// Something ready to run, which owns what it works on.
struct PreparedRun {
  std::function<void()> run;
  int calls = 1;  ///< of what is measured, in each run
  /// Kernels, copies and fills of the graph that a run replays; 0 if it replays none.
  std::function<std::size_t()> graph_nodes;
};

struct Benchmark {
  std::string name;   ///< "train_step"
  std::string model;  ///< "multiscale"; for a kernel the maps it works on, "28x28x32"
  std::string group;  ///< measured together
  Device device;
  int batch = 0;
  /// Operations of one call: a multiply-add of a network's convolution or fully connected layer counts two, everything
  /// else nothing. 0 without them: there the time goes into memory and exponentials, and a share of the peak would say
  /// nothing.
  double flops = 0;
  /// What a perfect kernel would move: every input read once, every output written once. 0 for whole models.
  double bytes = 0;
  std::function<PreparedRun()> prepare;

  std::string full_name() const { return name + "/" + model; }
};

/// The device of the twins: like `device`, but with convolutions by cuDNN, networks in fp32 or one thread.
Device by_cudnn(Device device);
Device in_fp32(Device device);
Device on_one_thread(Device device);

/// Operations of the networks in the forward pass of one example; without the dequantization those of sampling, which
/// does not run the couplings of variational dequantization.
double forward_flops(const Flow& flow, bool with_dequantization);

/// train_step, score and sample of the tutorial's models and of those of the papers, then the kernels. With
/// options.recompute train_step_recompute too. With options.growth, of the tutorial's models, train_step_2x_batch,
/// _2x_couplings and _2x_side (images twice as high and wide), which reach the GFLOP/s of train_step if time grows as
/// the work does, and on the host train_step_1_thread. With options.cudnn what has convolutions in it is followed by
/// the same computed by cuDNN, except scoring and sampling; with options.fp32 by the same in fp32.
std::vector<Benchmark> list_benchmarks(const BenchmarkOptions& options);

/// Takes what cuDNN would compute out of a list unless its libraries can be had.
void keep_possible(std::vector<Benchmark>& benchmarks);

/// Those whose full name holds a match of the ECMAScript regular expression `filter`. Throws Error if it is not one or
/// nothing matches.
std::vector<Benchmark> select_benchmarks(const std::vector<Benchmark>& benchmarks, const std::string& filter);

struct BenchmarkResult {
  std::string name, model, device;
  int batch = 0, threads = 0;
  double median_s = 0, min_s = 0, max_s = 0;  ///< of one call, over the rounds
  std::optional<double> gflop_per_s;          ///< at the median
  std::optional<double> share_of_peak;        ///< of the precision in which it ran; 1 is the peak
  std::optional<double> gb_per_s;             ///< at the median, of the bytes that a perfect kernel would move
  /// Of a copy; more than 1 where all fits into a cache. Missing on the host.
  std::optional<double> share_of_bandwidth;
  std::optional<double> graph_nodes;  ///< launches per call; missing where no graph is replayed
};

struct BenchmarkReport {
  Ceilings ceilings;
  std::vector<BenchmarkResult> results;
};

/// The result of one benchmark from the seconds of a call in every round. `ceilings`: those of options.device.
BenchmarkResult summarise(const Benchmark& benchmark, const BenchmarkOptions& options,
                          const std::vector<double>& seconds, const Ceilings& ceilings);

/// Runs benchmarks made with these options. `progress(what, eta_seconds)` is called before each measurement, with the
/// time that is left for its group; the ETA is missing while warming up.
BenchmarkReport run_benchmarks(const std::vector<Benchmark>& benchmarks, const BenchmarkOptions& options, int repeats,
                               const std::function<void(const std::string&, std::optional<double>)>& progress);

/// An array with one object per result, its fields named as in BenchmarkResult; null where there is no value.
std::string to_json(const std::vector<BenchmarkResult>& results);

}  // namespace flowsmith::core
