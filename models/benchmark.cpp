#include "models/benchmark.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <regex>

#include "engine/file.h"
#include "kernels/conv.h"
#include "kernels/cpu/peak.h"
#include "models/kernel_benchmarks.h"
#include "models/training_step.h"

namespace flowsmith {
namespace {

constexpr double kShortest = 0.02;  ///< seconds that a measurement takes at least
constexpr int kMostCalls = 1000;
constexpr std::size_t kLongestFilter = 1000;

/// Images of noise, and their numbers. The time of a call does not depend on what they show.
struct Images {
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint32_t> index;

  Images(int n, std::size_t image_size) : pixels(n * image_size), index(n) {
    std::iota(index.begin(), index.end(), 0u);
    std::vector<float> u(pixels.size());
    uniform_noise(u.data(), index.data(), NoiseStream{1}, n, image_size, Cpu{});
    std::transform(u.begin(), u.end(), pixels.begin(), [](float value) { return std::uint8_t(256 * value); });
  }
  ImageBatch batch() const { return {pixels.data(), index.data(), int(index.size())}; }
};

/// What the calls of a model benchmark own.
struct ModelState {
  Flow flow;
  TrainingStep step{flow};
  Images images;

  ModelState(ModelSpec spec, Device device, int n) : flow(spec, device), images(n, flow.dims()) {
    flow.initialize(1);
    flow.set_inference_batch(n);
  }
};

void add_model_benchmarks(std::vector<Benchmark>& list, const BenchmarkOptions& options, ModelSpec spec) {
  const std::string model = architecture_name(spec.architecture);
  const Flow flow(spec, options.device);
  const auto add = [&](const std::string& name, int batch, double flops, void (*call)(ModelState&)) {
    list.push_back({name, model, batch, flops * batch, [spec, device = options.device, batch, call] {
                      const auto state = std::make_shared<ModelState>(spec, device, batch);
                      return std::function<void()>([state, call] { call(*state); });
                    }});
  };
  // The two gradients of a convolution cost what it costs itself. The first one's gradient for its input is counted
  // although nobody asks for it: under 0.1 % of the whole.
  add("train_step", options.batch, 3 * forward_flops(flow, true), [](ModelState& s) {
    s.step.run(s.images.batch(), {{1, NoisePurpose::kTraining, 0}}, AdamOptions{}, 1.0);
  });
  add("score", options.inference_batch, forward_flops(flow, true), [](ModelState& s) {
    s.flow.log_prob(s.images.batch(), {{1, NoisePurpose::kScoring, 0}});
  });
  add("sample", options.inference_batch, forward_flops(flow, false),
      [](ModelState& s) { s.flow.sample({.count = s.images.batch().n}); });
}

/// Seconds of one of `calls` calls.
double time_calls(const std::function<void()>& call, int calls) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / calls;
}

/// A benchmark under way.
struct Running {
  std::function<void()> call;
  int calls = 1;                ///< per measurement
  double estimate = 0;          ///< seconds of the next measurement, that of the peak included
  std::vector<double> seconds;  ///< of one call, per round
};

}  // namespace

double forward_flops(const Flow& flow, bool with_dequantization) {
  const Parameters& parameters = flow.parameters();
  double flops = 0;
  for (const Flow::LayerInfo& layer : flow.layers()) {
    if (layer.name == "flows.0" && !with_dequantization) continue;
    for (int i = 0; i < parameters.count(); ++i) {
      const Parameter& p = parameters[i];
      if (p.layout != ParameterLayout::kConvWeight || !p.name.starts_with(layer.name + ".")) continue;
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
  for (const Architecture architecture : {Architecture::kSimple, Architecture::kVardeq, Architecture::kMultiscale}) {
    add_model_benchmarks(list, options, {architecture, options.edition});
  }
  add_kernel_benchmarks(list, options);
  return list;
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

double median(std::vector<double> values) {
  require(!values.empty(), "the median of no values");
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 != 0 ? values[half] : (values[half - 1] + values[half]) / 2;
}

BenchmarkResult summarise(const Benchmark& benchmark, const std::vector<double>& seconds, int threads,
                          double peak_gflop_per_s) {
  BenchmarkResult result{benchmark.name, benchmark.model, benchmark.batch, threads, median(seconds), 0, 0, {}, {}};
  const auto [least, most] = std::minmax_element(seconds.begin(), seconds.end());
  result.min_s = *least;
  result.max_s = *most;
  if (benchmark.flops > 0) {
    result.gflop_per_s = benchmark.flops / result.median_s / 1e9;
    result.share_of_peak = *result.gflop_per_s / peak_gflop_per_s;
  }
  return result;
}

BenchmarkReport run_benchmarks(const std::vector<Benchmark>& benchmarks, int repeats, int threads,
                               const std::function<void(const std::string&, std::optional<double>)>& progress) {
  require(repeats > 0, "--repeats must be 1 or more");
  std::vector<Running> all;
  for (const Benchmark& benchmark : benchmarks) {
    progress("warming up " + benchmark.full_name(), std::nullopt);
    Running running;
    running.call = benchmark.prepare();
    running.call();  // an arena learns here what it has to hold, and moves in the next call
    const double seconds = time_calls(running.call, 1);
    running.calls = std::clamp(int(std::min(std::ceil(kShortest / seconds), 1.0 * kMostCalls)), 1, kMostCalls);
    running.estimate = kShortest + running.calls * seconds;
    all.push_back(std::move(running));
  }
  std::vector<double> peaks;
  for (int round = 0; round < repeats; ++round) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      double eta = 0;
      for (std::size_t k = 0; k < all.size(); ++k) eta += all[k].estimate * (repeats - round - (k < i ? 1 : 0));
      progress("round " + std::to_string(round + 1) + "/" + std::to_string(repeats) + "  " + benchmarks[i].full_name(),
               eta);
      peaks.push_back(cpu::measure_fma_peak(kShortest));
      all[i].seconds.push_back(time_calls(all[i].call, all[i].calls));
      all[i].estimate = kShortest + all[i].calls * all[i].seconds.back();
    }
  }
  BenchmarkReport report{median(peaks) / 1e9, {}};
  for (std::size_t i = 0; i < all.size(); ++i) {
    report.results.push_back(summarise(benchmarks[i], all[i].seconds, threads, report.peak_gflop_per_s));
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
                     {"batch", r.batch},
                     {"threads", r.threads},
                     {"median_s", r.median_s},
                     {"min_s", r.min_s},
                     {"max_s", r.max_s},
                     {"gflop_per_s", or_null(r.gflop_per_s)},
                     {"share_of_peak", or_null(r.share_of_peak)}});
  }
  return array.dump(2) + "\n";
}

}  // namespace flowsmith
