// What a flow scores on a set of examples, and how fast.
#pragma once

#include <functional>
#include <span>

#include "data/dataset.h"
#include "models/training/trainer.h"

namespace flowsmith::core {

/// How a dataset is to be loaded for this flow: images padded and in its number of channels, numbers with the
/// statistics that standardization needs.
DatasetOptions dataset_options(const FlowConfig& config, const std::string& source, std::uint64_t seed);

/// `config` for the data of this dataset. Throws Error if it takes images and the dataset is of numbers, or the other
/// way round.
FlowConfig fitted_to(const FlowConfig& config, const Dataset& dataset);

/// Throws Error unless the dataset's examples are what the flow takes.
void require_fitting(const Flow& flow, const Dataset& dataset);

/// A trainer of `options` for the training subset of a dataset, which must outlive it. The model is fitted to the
/// dataset. Throws Error as fitted_to() and Trainer do, and if there are too few examples for a validation set.
Trainer trainer_for(TrainingOptions options, const Dataset& dataset, Device device);

/// Examples of a dataset, in memory of their own.
struct GatheredBatch {
  std::vector<std::uint8_t> pixels;
  std::vector<double> values;
  const std::uint32_t* index = nullptr;  ///< of the set that they were taken from
  int n = 0;

  Batch batch() const {
    return {pixels.empty() ? nullptr : pixels.data(), index, n, values.empty() ? nullptr : values.data()};
  }
};

/// Numbers begin ... begin + n - 1 of the set.
GatheredBatch gather_batch(const Flow& flow, const ExampleSet& set, std::size_t begin, std::size_t n);

struct EvaluationOptions {
  int importance_samples = 8;
  int batch_size = 64;
  NoiseStream noise{42, NoisePurpose::kScoring, 0};
};

struct Evaluation {
  std::size_t examples = 0;
  double score = 0;                ///< mean over the examples in Flow::unit(), with importance sampling
  double standard_error = 0;       ///< of that mean: sample standard deviation / sqrt(images)
  double single_sample_score = 0;  ///< mean of the bound with one sample: that of the first draw
};

/// Scores the examples batch by batch. `progress(done)` is called after each sample of each batch, `done` being a
/// fraction within the batch, and stops the evaluation by returning false: the result then covers the batches done so
/// far. Throws Error if a score is not finite.
Evaluation evaluate(Flow& flow, const ExampleSet& set, const EvaluationOptions& options,
                    const std::function<bool(double done)>& progress);

/// Mean score when batch norms normalise by the statistics of each batch, as in training, instead of running ones: one
/// noise sample per image, batches of `batch_size`, what is left over at the end left out. Throws Error if the set is
/// smaller than a batch, or a batch is one example.
double score_with_batch_statistics(Flow& flow, const ExampleSet& set, const EvaluationOptions& options);

/// Milliseconds, median of `repeats`, to score `n` images with one sample, and to sample as many.
double scoring_ms(Flow& flow, int n, int repeats);
double sampling_ms(Flow& flow, int n, int repeats);

}  // namespace flowsmith::core
