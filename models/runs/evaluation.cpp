#include "models/runs/evaluation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "kernels/likelihood.h"

namespace flowsmith::core {
namespace {

template <class Fn>
double median_ms(int repeats, Fn&& fn) {
  fn();  // the first run lays out memory
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    fn();
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + repeats / 2, times.end());
  return times[repeats / 2];
}

std::string kind_of(bool images) { return images ? "8-bit images" : "numbers"; }

std::string shape_text(MapShape shape) {
  if (shape.h == 1 && shape.w == 1) return std::to_string(shape.c) + " numbers each";
  return std::to_string(shape.h) + "x" + std::to_string(shape.w) + " pixels" + (shape.c == 3 ? " in colour" : "");
}

void require_kind(const FlowConfig& config, const Dataset& dataset) {
  const bool images = dataset.kind == ExampleKind::kImages;
  if (images == config.takes_images()) return;
  throw Error(dataset.name + " holds " + kind_of(images) + " and model " + config.name() + " takes " +
              kind_of(!images) + ": choose another dataset or model");
}

}  // namespace

DatasetOptions dataset_options(const FlowConfig& config, const std::string& source, std::uint64_t seed) {
  DatasetOptions options{.source = source, .seed = seed};
  if (config.takes_images()) options.channels = config.data_shape().c;
  options.pad = config.pad();
  options.transpose = config.transposes();
  options.standardize = config.standardizes();
  return options;
}

FlowConfig fitted_to(const FlowConfig& config, const Dataset& dataset) {
  require_kind(config, dataset);
  return config.with_shape(dataset.rows, dataset.cols, dataset.channels);
}

void require_fitting(const Flow& flow, const Dataset& dataset) {
  require_kind(flow.config(), dataset);
  const MapShape shape = flow.data_shape(1), found{1, dataset.rows, dataset.cols, dataset.channels};
  if (Shape(shape) == Shape(found)) return;
  throw Error("the examples of " + dataset.name + " have " + shape_text(found) + " and the model takes " +
              shape_text(shape) + ": choose the dataset that it was trained on");
}

Trainer trainer_for(TrainingOptions options, const Dataset& dataset, Device device) {
  options.flow = fitted_to(options.flow, dataset);
  if (select_examples(dataset, Subset::kValidation, options.seed).index.empty()) {
    throw Error(dataset.name + " has " + std::to_string(dataset.train.count) +
                " training examples: at least 6 are needed, of which a sixth is for validation");
  }
  TrainingData data{.name = dataset.name, .index = select_examples(dataset, Subset::kTrain, options.seed).index};
  const auto copy = [size = dataset.example_size()](const auto& store, auto numbers, auto out) {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      std::copy_n(store.begin() + std::ptrdiff_t(numbers[i] * size), size, out.begin() + std::ptrdiff_t(i * size));
    }
  };
  if (dataset.kind == ExampleKind::kImages) {
    data.images = [&store = dataset.train.images, copy](auto numbers, auto out) { copy(store, numbers, out); };
  } else {
    data.values = [&store = dataset.train.values, copy](auto numbers, auto out) { copy(store, numbers, out); };
  }
  data.mean = dataset.mean;
  data.deviation = dataset.deviation;
  return Trainer(options, std::move(data), device);
}

GatheredBatch gather_batch(const Flow& flow, const ExampleSet& set, std::size_t begin, std::size_t n) {
  GatheredBatch batch{{}, {}, &set.index[begin], int(n)};
  if (flow.takes_images()) {
    batch.pixels = gather(set, flow.dims(), begin, n);
  } else {
    batch.values = gather_values(set, flow.dims(), begin, n);
  }
  return batch;
}

namespace {

/// Means and their error from the sums over the examples.
Evaluation finished(Evaluation result, double sum, double sum_of_squares, double single_sum) {
  const double count = double(std::max<std::size_t>(result.examples, 1));
  result.score = sum / count;
  result.single_sample_score = single_sum / count;
  const double variance = std::max(0.0, sum_of_squares / count - result.score * result.score);
  result.standard_error = count > 1 ? std::sqrt(variance / (count - 1)) : 0;
  return result;
}

}  // namespace

Evaluation evaluate(Flow& flow, const ExampleSet& set, const EvaluationOptions& options,
                    const std::function<bool(double)>& progress) {
  require(options.batch_size > 0, "a batch has at least one example");
  require(options.importance_samples > 0, "importance sampling needs at least one sample");
  flow.set_inference_batch(options.batch_size);
  Evaluation result;
  double sum = 0, sum_of_squares = 0, single_sum = 0;
  bool go_on = true;
  while (go_on && result.examples < set.index.size()) {
    const std::size_t begin = result.examples;
    const std::size_t n = std::min<std::size_t>(options.batch_size, set.index.size() - begin);
    const GatheredBatch batch = gather_batch(flow, set, begin, n);
    std::vector<double> draws;
    NoiseStream noise = options.noise;
    for (int k = 0; k < options.importance_samples; ++k) {
      if (!go_on) return finished(result, sum, sum_of_squares, single_sum);
      noise.draw = std::uint32_t(k);
      const std::vector<double> draw = flow.log_prob(batch.batch(), {noise});
      draws.insert(draws.end(), draw.begin(), draw.end());
      go_on = progress(double(begin) + double(n) * (k + 1) / options.importance_samples);
    }
    for (std::size_t i = 0; i < n; ++i) {
      const double bits = -log_mean_exp(&draws[i], options.importance_samples, n) / flow.nats_per_unit();
      const double single = -draws[i] / flow.nats_per_unit();
      if (!std::isfinite(bits) || !std::isfinite(single)) {
        throw Error("the score of " + std::string(flow.takes_images() ? "image " : "row ") +
                    std::to_string(batch.index[i]) +
                    " is not finite: the weights are damaged or the training diverged; use an earlier checkpoint");
      }
      sum += bits;
      sum_of_squares += bits * bits;
      single_sum += single;
    }
    result.examples += n;
  }
  return finished(result, sum, sum_of_squares, single_sum);
}

double score_with_batch_statistics(Flow& flow, const ExampleSet& set, const EvaluationOptions& options) {
  const std::size_t n = std::size_t(options.batch_size);
  require(options.batch_size > 1 && set.index.size() >= n,
          "statistics of a batch need batches of at least two examples, and one whole batch");
  Tape tape(flow.device());
  double sum = 0;
  std::size_t done = 0;
  for (; done + n <= set.index.size(); done += n) {
    const GatheredBatch batch = gather_batch(flow, set, done, n);
    tape.start(false);
    const Flow::Pass pass = flow.forward(tape, batch.batch(), {options.noise}, DType::kF64, false, true);
    for (const double log_prob : tape.read<double>(tape.value(pass.log_prob))) sum -= log_prob / flow.nats_per_unit();
  }
  return sum / double(done);
}

double scoring_ms(Flow& flow, int n, int repeats) {
  // The time does not depend on what the examples are.
  const std::vector<std::uint8_t> pixels(flow.takes_images() ? n * flow.dims() : 0);
  const std::vector<double> values(flow.takes_images() ? 0 : n * flow.dims());
  std::vector<std::uint32_t> index(n);
  std::iota(index.begin(), index.end(), 0u);
  flow.set_inference_batch(n);
  const Batch batch{pixels.data(), index.data(), n, values.data()};
  return median_ms(repeats, [&] { flow.log_prob(batch, {{0, NoisePurpose::kScoring, 0}}); });
}

double sampling_ms(Flow& flow, int n, int repeats) {
  flow.set_inference_batch(n);
  return median_ms(repeats, [&] {
    if (flow.takes_images()) {
      flow.sample({.count = n});
    } else {
      flow.sample_numbers({.count = n});
    }
  });
}

}  // namespace flowsmith::core
