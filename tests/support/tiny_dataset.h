// A dataset so small that a test can train on it, and flows whose every layer acts.
#pragma once

#include <filesystem>
#include <string>

#include "data/dataset.h"
#include "models/flow.h"
#include "tests/data/idx_files.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {

/// Of the 60 training images a sixth, 10, are for validation. Rows and columns differ, so that nobody may swap them.
struct TinySize {
  std::uint32_t train = 60, test = 12, rows = 8, cols = 4;
};

/// Images that a flow can learn something about: a bright square of 2 x 2 pixels, its place and grey changing from
/// image to image, on a dark ground with a little noise.
inline std::string tiny_images(std::uint32_t count, std::uint32_t rows, std::uint32_t cols, std::uint32_t kind) {
  std::string pixels;
  for (std::uint32_t i = 0; i < count; ++i) {
    const PhiloxCounter place = noise_words({kind}, i, 0);
    const std::uint32_t top = place[0] % (rows - 1), left = place[1] % (cols - 1), grey = 160 + place[2] % 96;
    for (std::uint32_t p = 0; p < rows * cols; ++p) {
      const std::uint32_t y = p / cols - top, x = p % cols - left;  // below 0: a huge number
      pixels += static_cast<char>(y < 2 && x < 2 ? grey : noise_words({kind}, i, 1 + p)[0] % 6);
    }
  }
  return pixels;
}

/// Writes the four files, uncompressed, into the folder `name` of `dir` and returns its path.
inline std::string write_tiny_dataset(const TempDir& dir, const std::string& name = "tiny", const TinySize& size = {}) {
  std::filesystem::create_directories(dir.path() / name);
  const auto write = [&](const std::string& prefix, std::uint32_t count, std::uint32_t kind) {
    dir.write(name + "/" + prefix + "-images-idx3-ubyte",
              idx_bytes(0x803, {count, size.rows, size.cols}, tiny_images(count, size.rows, size.cols, kind)));
    dir.write(name + "/" + prefix + "-labels-idx1-ubyte", idx_bytes(0x801, {count}, std::string(count, '\0')));
  };
  write("train", size.train, 1);
  write("t10k", size.test, 2);
  return dir.file(name);
}

/// The same pictures in colour, in memory: red is what they are, green and blue are darker and shifted.
inline Dataset tiny_colour_dataset(const TinySize& size = {60, 12, 8, 8}) {
  Dataset dataset;
  dataset.name = "colour";
  dataset.rows = int(size.rows), dataset.cols = int(size.cols), dataset.channels = 3;
  const auto fill = [&](Examples& store, std::uint32_t count, std::uint32_t kind) {
    const std::string grey = tiny_images(count, size.rows, size.cols, kind);
    store.count = int(count);
    for (std::size_t i = 0; i < grey.size(); ++i) {
      const auto red = std::uint8_t(grey[i]), before = std::uint8_t(grey[i == 0 ? 0 : i - 1]);
      store.images.insert(store.images.end(), {red, std::uint8_t(red / 2), std::uint8_t(before / 3 + 40)});
    }
  };
  fill(dataset.train, size.train, 1);
  fill(dataset.test, size.test, 2);
  return dataset;
}

/// Points in the plane, the second number of each half the first and some noise.
inline Dataset tiny_points_dataset(int train = 60, int test = 12) {
  Dataset dataset;
  dataset.name = "points";
  dataset.kind = ExampleKind::kNumbers;
  dataset.rows = dataset.cols = 1, dataset.channels = 2;
  const auto fill = [](Examples& store, int count, std::uint64_t seed) {
    store.count = count;
    store.values.resize(std::size_t(2 * count));
    const std::uint32_t index = 0;
    const NoiseStream stream{seed};
    normal_noise(store.values.data(), &index, &stream, 1, 1, store.values.size(), Reference{});
    for (std::size_t i = 1; i < store.values.size(); i += 2) {
      store.values[i] = store.values[i - 1] / 2 + store.values[i] / 4;
    }
  };
  fill(dataset.train, train, 1);
  fill(dataset.test, test, 2);
  return dataset;
}

/// Initial weights, each moved a little, so that the last convolutions and scaling factors are not zero either: every
/// coupling does something.
inline void randomize(Flow& flow, std::uint64_t seed) {
  flow.initialize(seed);
  for (int i = 0; i < flow.parameters().count(); ++i) {
    const Tensor tensor = flow.parameters().value(i);
    std::vector<float> values = download<float>(flow.device(), tensor);
    const NoiseStream stream{seed + 1, NoisePurpose::kWeights, std::uint32_t(i)};
    for (std::size_t e = 0; e < values.size(); ++e) {
      const float u = word_to_uniform(noise_words(stream, 0, std::uint32_t(e))[0]);
      values[e] += 0.1f * (u - 0.5f);
    }
    upload(flow.device(), tensor, values.data());
  }
}

}  // namespace flowsmith::core
