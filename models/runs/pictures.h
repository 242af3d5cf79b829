// What a run shows of itself while it goes on: its data and its samples as pictures.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "data/dataset.h"
#include "data/scatter.h"
#include "models/flow.h"

namespace flowsmith::core {

/// A picture has 64 images of up to 64 x 64 values and fewer, but 4, of larger ones; no pass of a run scores or draws
/// more at once.
inline constexpr int kMostSamples = 64, kLeastSamples = 4;

/// So many examples at a time, or as many as have 64 x 64 x 64 values together, but `least`.
int at_most(int count, const Flow& flow, int least);

/// The first training examples, so that a wrong file is seen: a grid of images, or points in the plane. Nothing for
/// other numbers.
std::optional<Image> picture_of_examples(const Flow& flow, const Dataset& dataset, std::uint64_t seed);

/// The square of the plane that the training examples fill.
PlotSquare square_of_examples(const Dataset& dataset, std::uint64_t seed);

struct SamplePicture {
  std::uint64_t seed = 0;  ///< of the samples, which are the same noise in each picture
  int batch = kMostSamples;
  std::optional<PlotSquare> square = std::nullopt;  ///< for points in the plane: instead of the one that they fill
  std::function<bool(int done, int count)> progress = nullptr;  ///< returns false to give the picture up
};

/// Samples as people look at them. Nothing for numbers that nobody has a picture of, or where it was given up. Throws
/// NotFinite as Flow::sample.
std::optional<Image> picture_of_samples(Flow& flow, const SamplePicture& options);

}  // namespace flowsmith::core
