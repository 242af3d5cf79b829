#include "models/runs/pictures.h"

#include <algorithm>

namespace flowsmith::core {
namespace {

constexpr int kPointCount = 5000;
constexpr std::size_t kValuesAtOnce = std::size_t(kMostSamples) * 64 * 64;

/// `count` samples, batch by batch; fewer if that was given up.
template <class T, class Sample>
std::vector<T> draw(Flow& flow, int count, const SamplePicture& options, Sample&& sample) {
  flow.set_inference_batch(options.batch);
  std::vector<T> all;
  for (int done = 0; done < count;) {
    const int n = std::min(options.batch, count - done);
    const std::vector<T> some = sample(SampleOptions{.count = n, .seed = options.seed, .first = std::uint32_t(done)});
    all.insert(all.end(), some.begin(), some.end());
    done += n;
    if (options.progress && !options.progress(done, count)) break;
  }
  return all;
}

}  // namespace

int at_most(int count, const Flow& flow, int least) {
  return int(std::clamp<std::size_t>(kValuesAtOnce / flow.dims(), least, std::max(count, least)));
}

std::optional<Image> picture_of_examples(const Flow& flow, const Dataset& dataset, std::uint64_t seed) {
  const ExampleSet set = select_examples(dataset, Subset::kTrain, seed);
  if (flow.takes_images()) {
    const int count = std::min<int>(at_most(kMostSamples, flow, kLeastSamples), int(set.index.size()));
    const MapShape shape = flow.data_shape(count);
    const std::vector<std::uint8_t> images = gather(set, flow.dims(), 0, std::size_t(count));
    return make_grid(images.data(), shape.n, shape.h, shape.w, {.zoom = 2, .channels = shape.c});
  }
  if (flow.dims() != 2) return std::nullopt;
  return draw_scatter(gather_values(set, 2, 0, std::min<std::size_t>(kPointCount, set.index.size())));
}

PlotSquare square_of_examples(const Dataset& dataset, std::uint64_t seed) {
  const ExampleSet set = select_examples(dataset, Subset::kTrain, seed);
  return square_of(gather_values(set, 2, 0, std::min<std::size_t>(kPointCount, set.index.size())), 0.001);
}

std::optional<Image> picture_of_samples(Flow& flow, const SamplePicture& options) {
  if (flow.takes_images()) {
    const MapShape shape = flow.data_shape(at_most(kMostSamples, flow, kLeastSamples));
    const std::vector<std::uint8_t> images =
        draw<std::uint8_t>(flow, shape.n, options, [&](const SampleOptions& some) { return flow.sample(some); });
    if (images.size() < shape.size()) return std::nullopt;
    return make_grid(images.data(), shape.n, shape.h, shape.w, {.zoom = 2, .channels = shape.c});
  }
  if (flow.dims() != 2) return std::nullopt;
  const std::vector<double> points =
      draw<double>(flow, kPointCount, options, [&](const SampleOptions& some) { return flow.sample_numbers(some); });
  if (points.size() < 2 * kPointCount) return std::nullopt;
  return draw_scatter(points, {.square = options.square});
}

}  // namespace flowsmith::core
