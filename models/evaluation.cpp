#include "models/evaluation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "kernels/likelihood.h"

namespace flowsmith {
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

}  // namespace

Subset parse_subset(std::string_view text) {
  if (text == "train") return Subset::kTrain;
  if (text == "val") return Subset::kValidation;
  if (text == "test") return Subset::kTest;
  throw Error("unknown split '" + std::string(text) + "': choose test, val or train");
}

ImageSet select_images(const Dataset& dataset, Subset subset, std::uint64_t seed) {
  if (subset == Subset::kTest) {
    ImageSet set{&dataset.test.images, std::vector<std::uint32_t>(dataset.test.count)};
    std::iota(set.index.begin(), set.index.end(), 0u);
    return set;
  }
  Split split = split_train_validation(std::uint32_t(dataset.train.count), seed);
  return {&dataset.train.images, std::move(subset == Subset::kTrain ? split.train : split.validation)};
}

void ImageSet::restrict_to(std::int64_t offset, std::int64_t limit) {
  const std::int64_t count = std::int64_t(index.size());
  if (offset < 0 || offset >= count || limit == 0 || limit < -1) {
    throw Error("no images to work on: there are " + std::to_string(count) + ", --offset is " + std::to_string(offset) +
                " and --limit " + std::to_string(limit));
  }
  const std::int64_t left = count - offset;
  const std::int64_t n = limit < 0 ? left : std::min(limit, left);
  index = std::vector<std::uint32_t>(index.begin() + offset, index.begin() + offset + n);
}

std::vector<std::uint8_t> gather(const ImageSet& set, std::size_t image_size, std::size_t begin, std::size_t n) {
  std::vector<std::uint8_t> pixels(n * image_size);
  for (std::size_t i = 0; i < n; ++i) {
    const auto source = set.pixels->begin() + set.index[begin + i] * image_size;
    std::copy(source, source + image_size, pixels.begin() + i * image_size);
  }
  return pixels;
}

void require_image_size(const Flow& flow, const Dataset& dataset) {
  const ModelSpec& spec = flow.spec();
  if (dataset.rows == spec.height && dataset.cols == spec.width) return;
  throw Error("the images of " + dataset.name + " have " + std::to_string(dataset.rows) + "x" +
              std::to_string(dataset.cols) + " pixels and the model takes " + std::to_string(spec.height) + "x" +
              std::to_string(spec.width) + ": choose the dataset that it was trained on with --data");
}

Evaluation evaluate(Flow& flow, const ImageSet& set, const EvaluationOptions& options,
                    const std::function<bool(std::size_t)>& progress) {
  require(options.batch_size > 0, "a batch has at least one image");
  flow.set_inference_batch(options.batch_size);
  Evaluation result;
  double sum = 0, sum_of_squares = 0, single_sum = 0;
  while (result.images < set.index.size()) {
    const std::size_t begin = result.images;
    const std::size_t n = std::min<std::size_t>(options.batch_size, set.index.size() - begin);
    const std::vector<std::uint8_t> pixels = gather(set, flow.dims(), begin, n);
    const ImageBatch batch{pixels.data(), &set.index[begin], int(n)};
    const std::vector<double> draws = flow.log_prob_draws(batch, options.noise, options.importance_samples);
    for (std::size_t i = 0; i < n; ++i) {
      const double bits = bits_per_dim(log_mean_exp(&draws[i], options.importance_samples, n), flow.dims());
      const double single = bits_per_dim(draws[i], flow.dims());
      if (!std::isfinite(bits) || !std::isfinite(single)) {
        throw Error("the score of image " + std::to_string(batch.index[i]) +
                    " is not finite: the weights are damaged or the training diverged; use an earlier checkpoint");
      }
      sum += bits;
      sum_of_squares += bits * bits;
      single_sum += single;
    }
    result.images += n;
    if (!progress(result.images)) break;
  }
  const double count = double(std::max<std::size_t>(result.images, 1));
  result.bits_per_dim = sum / count;
  result.single_sample_bits_per_dim = single_sum / count;
  const double variance = std::max(0.0, sum_of_squares / count - result.bits_per_dim * result.bits_per_dim);
  result.standard_error = count > 1 ? std::sqrt(variance / (count - 1)) : 0;
  return result;
}

double scoring_ms(Flow& flow, int n, int repeats) {
  // The time does not depend on what the pixels show.
  const std::vector<std::uint8_t> pixels(n * flow.dims());
  std::vector<std::uint32_t> index(n);
  std::iota(index.begin(), index.end(), 0u);
  flow.set_inference_batch(n);
  return median_ms(repeats, [&] { flow.log_prob({pixels.data(), index.data(), n}, {{0, NoisePurpose::kScoring, 0}}); });
}

double sampling_ms(Flow& flow, int n, int repeats) {
  flow.set_inference_batch(n);
  return median_ms(repeats, [&] { flow.sample({.count = n}); });
}

}  // namespace flowsmith
