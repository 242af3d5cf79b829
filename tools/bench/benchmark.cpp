#include "tools/bench/benchmark.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <regex>

#include "engine/device_memory.h"
#include "engine/file.h"
#include "kernels/conv.h"
#include "models/training/training_step.h"
#include "tools/bench/kernel_benchmarks.h"

namespace flowsmith::core {
namespace {

constexpr const char* kRecompute = "train_step_recompute";
constexpr double kShortest = 0.02;  ///< seconds that a measurement takes at least
constexpr int kMostRuns = 1000;
constexpr std::size_t kLongestFilter = 1000;

/// Examples of noise: pixels, and numbers from -1 to 1 for flows that take these. The time of a call does not depend on
/// what they show.
struct Examples {
  std::vector<std::uint8_t> pixels;
  std::vector<double> values;
  std::vector<std::uint32_t> index;

  Examples(int n, std::size_t size) : pixels(n * size), values(n * size), index(n) {
    std::iota(index.begin(), index.end(), 0u);
    std::vector<float> u(pixels.size());
    const NoiseStream stream{1};
    uniform_noise(u.data(), index.data(), &stream, n, size, Cpu{});
    std::transform(u.begin(), u.end(), pixels.begin(), [](float value) { return std::uint8_t(256 * value); });
    std::transform(u.begin(), u.end(), values.begin(), [](float value) { return 2.0 * value - 1; });
  }
  Batch batch() const { return {pixels.data(), index.data(), int(index.size()), values.data()}; }
};

/// What the calls of a model benchmark own.
struct ModelState {
  Flow flow;
  TrainingStep step;
  Examples examples;

  ModelState(const FlowConfig& config, Device device, int n, bool recompute)
      : flow(config, device), step(flow, recompute), examples(n, flow.dims()) {
    flow.initialize(1);
    flow.set_inference_batch(n);
  }
};

/// `call` on a flow of `config`, in the group of its name.
Benchmark model_benchmark(const std::string& name, const FlowConfig& config, Device device, int batch, double flops,
                          bool recompute, void (*call)(ModelState&), std::size_t (*graph_nodes)(const ModelState&)) {
  const std::string model = config.name();
  return {name, model, model, device, batch, flops * batch, 0, [=] {
            const auto state = std::make_shared<ModelState>(config, device, batch, recompute);
            return PreparedRun{[=] { call(*state); }, 1, [=] { return graph_nodes(*state); }};
          }};
}

/// The two gradients of a convolution cost what it costs itself. The first one's gradient for its input is counted
/// although nobody asks for it: under 0.1 % of the whole. Recomputing is a second forward pass.
Benchmark training_benchmark(const std::string& name, const FlowConfig& config, Device device, int batch,
                             bool recompute) {
  const double flops = (recompute ? 4 : 3) * forward_flops(Flow(config), true);
  return model_benchmark(
      name, config, device, batch, flops, recompute,
      [](ModelState& s) {
        // As in training: a GPU always has the next step, and the batch after that one is on its way.
        const auto launch = [&] {
          s.step.launch({}, 1.0);
          s.step.stage(s.examples.batch(), {{1, NoisePurpose::kTraining, 0}});
        };
        if (s.step.adam().step_count() == 0) s.step.stage(s.examples.batch(), {{1, NoisePurpose::kTraining, 0}});
        if (s.step.under_way() == 0) launch();
        if (!is_host(s.flow.device())) launch();
        s.step.finish();
      },
      [](const ModelState& s) { return s.step.graph_nodes(); });
}

bool has_convolutions(const FlowConfig& config) {
  const Flow flow(config);
  for (int i = 0; i < flow.parameters().count(); ++i) {
    if (flow.parameters()[i].layout == ParameterLayout::kConvWeight) return true;
  }
  return false;
}

/// `grows`: whether there is a sense in twice its couplings and side.
void add_model_benchmarks(std::vector<Benchmark>& list, const BenchmarkOptions& options, const FlowConfig& config,
                          bool grows) {
  /// make(name, device), and its twin in fp32.
  const auto add = [&](const std::string& name, const auto& make) {
    list.push_back(make(name, options.device));
    if (options.fp32) list.push_back(make(name + kFp32Suffix, in_fp32(options.device)));
  };
  const auto training = [](const FlowConfig& of, int batch, bool recompute) {
    return
        [=](const std::string& name, Device device) { return training_benchmark(name, of, device, batch, recompute); };
  };
  const auto step = training(config, options.batch, false);
  add("train_step", step);
  if (options.cudnn && has_convolutions(config)) {
    list.push_back(step(std::string("train_step") + kCudnnSuffix, by_cudnn(options.device)));
  }
  if (options.recompute) add(kRecompute, training(config, options.batch, true));
  if (options.growth && grows) {
    const FlowConfig deeper = config.with_couplings(2 * config.couplings());
    const MapShape shape = config.data_shape();
    const FlowConfig larger = config.with_shape(2 * shape.h, 2 * shape.w, shape.c);
    add("train_step_2x_batch", training(config, 2 * options.batch, false));
    add("train_step_2x_couplings", training(deeper, options.batch, false));
    add("train_step_2x_side", training(larger, options.batch, false));
    if (is_host(options.device)) {
      list.push_back(step(std::string("train_step") + kOneThreadSuffix, on_one_thread(options.device)));
    }
  }
  const Flow flow(config);
  const double scoring_flops = forward_flops(flow, true), sampling_flops = forward_flops(flow, false);
  add("score", [&](const std::string& name, Device device) {
    return model_benchmark(
        name, config, device, options.inference_batch, scoring_flops, false,
        [](ModelState& s) {
          s.flow.log_prob(s.examples.batch(), {{1, NoisePurpose::kScoring, 0}});
        },
        [](const ModelState& s) { return s.flow.scoring_graph_nodes(); });
  });
  add("sample", [&](const std::string& name, Device device) {
    return model_benchmark(
        name, config, device, options.inference_batch, sampling_flops, false,
        [](ModelState& s) {
          const SampleOptions count{.count = s.examples.batch().n};
          s.flow.takes_images() ? void(s.flow.sample(count)) : void(s.flow.sample_numbers(count));
        },
        [](const ModelState& s) { return s.flow.decoding_graph_nodes(); });
  });
}

/// Seconds of one of `runs` runs.
double time_runs(Device device, const std::function<void()>& run, int runs) {
  synchronize(device);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < runs; ++i) run();
  synchronize(device);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / runs;
}

/// A benchmark under way.
struct Running {
  PreparedRun prepared;
  int runs = 1;                 ///< per measurement
  double estimate = 0;          ///< seconds of the next measurement, that of the ceilings included
  std::vector<double> seconds;  ///< of one call, per round
};

Running warm_up(const Benchmark& benchmark) {
  const Device device = benchmark.device;
  Running running{benchmark.prepare(), 1, 0, {}};
  running.prepared.run();                        // an arena learns here what it has to hold, and moves in the next run
  if (!is_host(device)) running.prepared.run();  // which captures a graph
  const double seconds = time_runs(device, running.prepared.run, 1);
  running.runs = std::clamp(int(std::min(std::ceil(kShortest / seconds), 1.0 * kMostRuns)), 1, kMostRuns);
  running.estimate = kShortest + running.runs * seconds;
  return running;
}

}  // namespace

Device by_cudnn(Device device) {
  device.conv = ConvAlgorithm::kCudnn;
  return device;
}

Device in_fp32(Device device) {
  device.precision = NetPrecision::kFp32;
  return device;
}

Device on_one_thread(Device device) {
  device.threads = 1;
  return device;
}

double forward_flops(const Flow& flow, bool with_dequantization) {
  const Parameters& parameters = flow.parameters();
  double flops = 0;
  for (const Flow::LayerInfo& layer : flow.layers()) {
    if (layer.name == "flows.0" && !with_dequantization) continue;
    for (int i = 0; i < parameters.count(); ++i) {
      const Parameter& p = parameters[i];
      if (!p.name.starts_with(layer.name + ".")) continue;
      if (p.layout == ParameterLayout::kLinearWeight) flops += 2.0 * double(p.file_shape[0] * p.file_shape[1]);
      if (p.layout != ParameterLayout::kConvWeight) continue;
      flops +=
          ConvShape{1, layer.output.h, layer.output.w, int(p.file_shape[1]), int(p.file_shape[0]), int(p.file_shape[2])}
              .flops();
    }
  }
  return flops;
}

std::vector<Benchmark> list_benchmarks(const BenchmarkOptions& options) {
  require(options.batch > 0 && options.inference_batch > 0, "--batch must be 1 or more");
  std::vector<Benchmark> list;
  for (const char* const model : kTutorialModels) {
    add_model_benchmarks(list, options, tutorial_config(model, options.edition), true);
  }
  for (const char* const model : kPaperModels) add_model_benchmarks(list, options, FlowConfig::named(model), false);
  add_kernel_benchmarks(list, options);
  return list;
}

void keep_possible(std::vector<Benchmark>& benchmarks) {
  const auto by_cudnn = [](const Benchmark& b) { return b.device.conv == ConvAlgorithm::kCudnn; };
  const auto first = std::find_if(benchmarks.begin(), benchmarks.end(), by_cudnn);
  if (first == benchmarks.end()) return;
  try {
    require_usable(first->device);
  } catch (const ConvLibraryError&) {
    std::erase_if(benchmarks, by_cudnn);
  }
}

std::vector<Benchmark> select_benchmarks(const std::vector<Benchmark>& benchmarks, const std::string& filter) {
  // The library that reads expressions recurses into brackets as deep as they go.
  if (filter.size() > kLongestFilter) throw Error("the --filter is too long: " + in_quotes(filter, 40));
  std::vector<Benchmark> selected;
  try {
    const std::regex pattern(filter);
    std::copy_if(benchmarks.begin(), benchmarks.end(), std::back_inserter(selected),
                 [&](const Benchmark& b) { return std::regex_search(b.full_name(), pattern); });
  } catch (const std::regex_error& error) {
    throw Error("the --filter " + in_quotes(filter) + " is not a regular expression: " + error.what());
  }
  if (selected.empty()) {
    throw Error("no benchmark matches the --filter " + in_quotes(filter) + ": --help lists their names");
  }
  return selected;
}

BenchmarkResult summarise(const Benchmark& benchmark, const BenchmarkOptions& options,
                          const std::vector<double>& seconds, const Ceilings& ceilings) {
  BenchmarkResult result;
  result.name = benchmark.name;
  result.model = benchmark.model;
  result.device = device_name(benchmark.device);
  result.batch = benchmark.batch;
  result.threads = thread_count(benchmark.device);
  result.median_s = median(seconds);
  const auto [least, most] = std::minmax_element(seconds.begin(), seconds.end());
  result.min_s = *least;
  result.max_s = *most;
  if (benchmark.flops > 0) {
    result.gflop_per_s = benchmark.flops / result.median_s / 1e9;
    // The ceiling is that of all threads.
    if (result.threads == thread_count(options.device)) {
      result.share_of_peak = *result.gflop_per_s / ceilings.gflop_per_s(benchmark.device.precision);
    }
  }
  if (benchmark.bytes > 0) {
    result.gb_per_s = benchmark.bytes / result.median_s / 1e9;
    if (ceilings.copy_gb_per_s > 0) result.share_of_bandwidth = *result.gb_per_s / ceilings.copy_gb_per_s;
  }
  return result;
}

BenchmarkReport run_benchmarks(const std::vector<Benchmark>& benchmarks, const BenchmarkOptions& options, int repeats,
                               const std::function<void(const std::string&, std::optional<double>)>& progress) {
  require(repeats > 0, "--repeats must be 1 or more");
  CeilingMeter meter(options.device);
  std::vector<std::vector<double>> seconds(benchmarks.size());
  std::vector<double> graph_nodes(benchmarks.size());
  std::size_t end = 0;
  for (std::size_t begin = 0; begin < benchmarks.size(); begin = end) {
    const std::string& group = benchmarks[begin].group;
    std::vector<Running> running;
    for (end = begin; end < benchmarks.size() && benchmarks[end].group == group; ++end) {
      progress("warming up " + benchmarks[end].full_name(), std::nullopt);
      running.push_back(warm_up(benchmarks[end]));
    }
    for (int round = 0; round < repeats; ++round) {
      for (std::size_t i = 0; i < running.size(); ++i) {
        double eta = 0;
        for (std::size_t k = 0; k < running.size(); ++k) {
          eta += running[k].estimate * (repeats - round - (k < i ? 1 : 0));
        }
        progress(group + ", round " + std::to_string(round + 1) + "/" + std::to_string(repeats) + "  " +
                     benchmarks[begin + i].full_name(),
                 eta);
        Running& r = running[i];
        meter.measure();
        const double run = time_runs(benchmarks[begin + i].device, r.prepared.run, r.runs);
        seconds[begin + i].push_back(run / r.prepared.calls);
        r.estimate = kShortest + r.runs * run;
      }
    }
    for (std::size_t i = 0; i < running.size(); ++i) {
      const PreparedRun& prepared = running[i].prepared;
      graph_nodes[begin + i] = double(prepared.graph_nodes()) / prepared.calls;
    }
  }
  BenchmarkReport report{meter.ceilings(), {}};
  for (std::size_t i = 0; i < benchmarks.size(); ++i) {
    report.results.push_back(summarise(benchmarks[i], options, seconds[i], report.ceilings));
    if (graph_nodes[i] > 0) report.results.back().graph_nodes = graph_nodes[i];
  }
  return report;
}

std::string to_json(const std::vector<BenchmarkResult>& results) {
  using Json = nlohmann::ordered_json;
  const auto or_null = [](std::optional<double> value) { return value ? Json(*value) : Json(); };
  Json array = Json::array();
  for (const BenchmarkResult& r : results) {
    array.push_back({{"name", r.name},
                     {"model", r.model},
                     {"device", r.device},
                     {"batch", r.batch},
                     {"threads", r.threads},
                     {"median_s", r.median_s},
                     {"min_s", r.min_s},
                     {"max_s", r.max_s},
                     {"gflop_per_s", or_null(r.gflop_per_s)},
                     {"share_of_peak", or_null(r.share_of_peak)},
                     {"gb_per_s", or_null(r.gb_per_s)},
                     {"share_of_bandwidth", or_null(r.share_of_bandwidth)},
                     {"graph_nodes", or_null(r.graph_nodes)}});
  }
  return array.dump(2) + "\n";
}

}  // namespace flowsmith::core
