// What a flow scores on a set of images, and how fast.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "data/dataset.h"
#include "models/flow.h"

namespace flowsmith {

enum class Subset { kTrain, kValidation, kTest };

Subset parse_subset(std::string_view text);  ///< "train", "val", "test"; throws Error on anything else

/// Images of a dataset by number.
struct ImageSet {
  const std::vector<std::uint8_t>* pixels;  ///< of the whole file that they stand in
  std::vector<std::uint32_t> index;

  /// `limit` images (-1: all) from the offset-th on. Throws Error if none are left.
  void restrict_to(std::int64_t offset, std::int64_t limit);
};

/// `seed` fixes the split into training and validation images.
ImageSet select_images(const Dataset& dataset, Subset subset, std::uint64_t seed);

/// The images one after the other, numbers begin ... begin + n - 1 of the set.
std::vector<std::uint8_t> gather(const ImageSet& set, std::size_t image_size, std::size_t begin, std::size_t n);

/// Throws Error unless the dataset's images have the size that the flow takes.
void require_image_size(const Flow& flow, const Dataset& dataset);

struct EvaluationOptions {
  int importance_samples = 8;
  int batch_size = 64;
  NoiseStream noise{42, NoisePurpose::kScoring, 0};
};

struct Evaluation {
  std::size_t images = 0;
  double bits_per_dim = 0;                ///< mean over the images, with importance sampling
  double standard_error = 0;              ///< of that mean: sample standard deviation / sqrt(images)
  double single_sample_bits_per_dim = 0;  ///< mean of the bound with one sample: that of the first draw
};

/// Scores the images batch by batch. `progress(done)` is called after each batch and stops the evaluation by returning
/// false: the result then covers the images done so far. Throws Error if a score is not finite.
Evaluation evaluate(Flow& flow, const ImageSet& set, const EvaluationOptions& options,
                    const std::function<bool(std::size_t done)>& progress);

/// Milliseconds, median of `repeats`, to score `n` images with one sample, and to sample as many.
double scoring_ms(Flow& flow, int n, int repeats);
double sampling_ms(Flow& flow, int n, int repeats);

}  // namespace flowsmith
