// Scores of image sets, and latents in files.
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "models/interchange/latents_file.h"
#include "models/runs/evaluation.h"
#include "tests/support/error_of.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/tiny_dataset.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;
using testing::same_bits;

const auto kGoOn = [](std::size_t) { return true; };

struct Tiny {
  TempDir dir;
  Dataset dataset = load_dataset(write_tiny_dataset(dir));
  Flow flow{tutorial("vardeq", "2024", 8, 4)};

  Tiny() { randomize(flow, 9); }
};

TEST_CASE("subsets are those of the dataset and its split", "[evaluation]") {
  const Tiny tiny;
  CHECK(parse_subset("train") == Subset::kTrain);
  CHECK(parse_subset("val") == Subset::kValidation);
  CHECK(parse_subset("test") == Subset::kTest);
  CHECK_THAT(error_of([] { parse_subset("tests"); }), Contains("'tests'") && Contains("test, val or train"));

  const ExampleSet test = select_examples(tiny.dataset, Subset::kTest, 1);
  CHECK(test.pixels == &tiny.dataset.test.images);
  std::vector<std::uint32_t> all(12);
  std::iota(all.begin(), all.end(), 0u);
  CHECK(test.index == all);
  const ExampleSet train = select_examples(tiny.dataset, Subset::kTrain, 1);
  const ExampleSet validation = select_examples(tiny.dataset, Subset::kValidation, 1);
  CHECK(train.pixels == &tiny.dataset.train.images);
  CHECK(validation.index.size() == 10);
  std::set<std::uint32_t> both(train.index.begin(), train.index.end());
  both.insert(validation.index.begin(), validation.index.end());
  CHECK(both.size() == 60);
  CHECK(select_examples(tiny.dataset, Subset::kValidation, 2).index != validation.index);
}

TEST_CASE("an offset and a limit leave part of a set", "[evaluation]") {
  const std::vector<std::uint8_t> pixels{10, 11, 20, 21, 30, 31, 40, 41};
  const auto part = [&](std::int64_t offset, std::int64_t limit) {
    ExampleSet set{.pixels = &pixels, .index = {3, 1, 2, 0}};
    set.restrict_to(offset, limit);
    return set.index;
  };
  CHECK(part(0, -1) == std::vector<std::uint32_t>{3, 1, 2, 0});
  CHECK(part(1, 2) == std::vector<std::uint32_t>{1, 2});
  CHECK(part(3, 100) == std::vector<std::uint32_t>{0});
  for (const auto& [offset, limit] : {std::pair{4, -1}, std::pair{-1, -1}, std::pair{0, 0}, std::pair{9, 1}}) {
    CHECK_THAT(error_of([&, o = offset, l = limit] { part(o, l); }),
               Contains("the offset is") && Contains("there are 4"));
  }
  CHECK(gather({.pixels = &pixels, .index = {3, 1, 2, 0}}, 2, 1, 2) == std::vector<std::uint8_t>{20, 21, 30, 31});
}

TEST_CASE("a score is mean and standard error over the images", "[evaluation]") {
  Tiny tiny;
  const ExampleSet set = select_examples(tiny.dataset, Subset::kTest, 1);
  const NoiseStream noise{5, NoisePurpose::kScoring, 0};
  std::vector<double> progress;
  const Evaluation result = evaluate(tiny.flow, set, {3, 5, noise}, [&](double done) {
    progress.push_back(done);
    return true;
  });
  // Three samples of batches of 5, 5 and 2.
  const std::vector<double> expected{5 / 3., 10 / 3., 5, 20 / 3., 25 / 3., 10, 32 / 3., 34 / 3., 12};
  REQUIRE(progress.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(progress[i] == Approx(expected[i]));
  const Batch batch{tiny.dataset.test.images.data(), set.index.data(), 12};
  const auto bits_per_dim = [&](int samples) {
    std::vector<double> bits = tiny.flow.log_prob(batch, noise, samples);
    for (double& value : bits) value /= -32 * std::log(2.0);  // of 8 x 4 pixels
    return bits;
  };
  const std::vector<double> bits = bits_per_dim(3), single = bits_per_dim(1);
  const double mean = std::accumulate(bits.begin(), bits.end(), 0.0) / 12;
  double squares = 0;
  for (const double b : bits) squares += (b - mean) * (b - mean);
  CHECK(result.examples == 12);
  CHECK(result.score == Approx(mean).epsilon(1e-13));  // sums of twelve in another order
  // The engine takes it from sums of squares, which cancel a few digits of the sixteen.
  CHECK(result.standard_error == Approx(std::sqrt(squares / 11 / 12)).epsilon(1e-10));
  CHECK(result.single_sample_score == Approx(std::accumulate(single.begin(), single.end(), 0.0) / 12).epsilon(1e-13));

  const Evaluation again = evaluate(tiny.flow, set, {3, 64, noise}, kGoOn);  // the batch changes nothing
  CHECK(again.score == result.score);
  CHECK(again.standard_error == result.standard_error);

  const Evaluation stopped = evaluate(tiny.flow, set, {3, 5, noise}, [](double done) { return done < 10; });
  CHECK(stopped.examples == 10);
  CHECK(stopped.score == Approx(std::accumulate(bits.begin(), bits.begin() + 10, 0.0) / 10).epsilon(1e-13));
  const Evaluation within = evaluate(tiny.flow, set, {3, 5, noise}, [](double done) { return done < 9; });
  CHECK(within.examples == 10);
  CHECK(evaluate(tiny.flow, set, {3, 5, noise}, [](double done) { return done < 8; }).examples == 5);
}

TEST_CASE("an evaluation that makes no sense is refused", "[evaluation]") {
  Tiny tiny;
  const ExampleSet set = select_examples(tiny.dataset, Subset::kTest, 1);
  CHECK_THAT(error_of([&] { evaluate(tiny.flow, set, {1, 0}, kGoOn); }), Contains("at least one example"));
  CHECK_THAT(error_of([&] { evaluate(tiny.flow, set, {0, 4}, kGoOn); }), Contains("at least one sample"));
  const Flow turned(tutorial("vardeq", "2024", 4, 8));
  CHECK_THAT(error_of([&] { require_fitting(turned, tiny.dataset); }),
             Contains("tiny") && Contains("8x4 pixels") && Contains("4x8 pixels") && Contains("dataset"));
  CHECK_NOTHROW(require_fitting(tiny.flow, tiny.dataset));
  tiny.flow.parameters().value(0).data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  ExampleSet some = set;
  some.restrict_to(7, 2);
  CHECK_THAT(error_of([&] { evaluate(tiny.flow, some, {1, 4}, kGoOn); }), Contains("image 7 is not finite"));
}

TEST_CASE("latents survive a file, channels first", "[latents_file]") {
  Flow flow(tutorial("multiscale", "2024", 8, 4));
  randomize(flow, 2);
  const std::vector<std::uint8_t> pixels = testing::random_bytes(3 * flow.dims(), 5);
  const std::vector<std::uint32_t> index{4, 5, 6};
  const Latents latents = flow.encode({pixels.data(), index.data(), 3}, {{1, NoisePurpose::kScoring, 0}});
  const SafetensorsFile file = latents_to_file(flow, latents, 3);
  REQUIRE(file.tensors.size() == 2);
  CHECK(file.tensors[0].name == "z.0");
  CHECK(file.tensors[0].shape == std::vector<std::int64_t>{3, 2, 4, 2});
  CHECK(file.tensors[1].name == "z.final");
  CHECK(file.tensors[1].shape == std::vector<std::int64_t>{3, 8, 2, 1});
  // Image 2, channel 1, row 3, column 0 of 4 x 2 pixels of 2 channels, in both orders.
  CHECK(file.tensors[0].as<double>()[((2 * 2 + 1) * 4 + 3) * 2] == latents[0].values[((2 * 4 + 3) * 2 + 0) * 2 + 1]);

  const LatentBatch back = latents_from_file(flow, file, "z.safetensors");
  CHECK(back.n == 3);
  REQUIRE(back.latents.size() == 2);
  for (int k = 0; k < 2; ++k) {
    CHECK(back.latents[k].name == latents[k].name);
    CHECK(same_bits(back.latents[k].values, latents[k].values));
  }
  CHECK(flow.decode(back.latents, 3) == pixels);
}

TEST_CASE("latents of another flow are refused", "[latents_file]") {
  Flow flow(tutorial("multiscale", "2024", 8, 4));
  randomize(flow, 2);
  const Latents zeros{{"z.0", 4, 2, 2, std::vector<double>(32)}, {"z.final", 2, 1, 8, std::vector<double>(32)}};
  const SafetensorsFile good = latents_to_file(flow, zeros, 2);
  CHECK_NOTHROW(latents_from_file(flow, good, "z.safetensors"));
  const auto complaint = [&](auto&& damage) {
    SafetensorsFile file = good;
    damage(file);
    const std::string message = error_of([&] { latents_from_file(flow, file, "z.safetensors"); });
    CHECK_THAT(message, Contains("z.safetensors"));
    return message;
  };
  CHECK_THAT(complaint([](auto& f) { f.tensors.pop_back(); }), Contains("latent z.final is missing"));
  CHECK_THAT(complaint([](auto& f) { f.tensors[1].shape = {2, 4, 2, 2}; }), Contains("latent z.final is F64 (2, 4"));
  CHECK_THAT(complaint([](auto& f) { f.tensors[1].shape = {4, 8, 2, 1}; }), Contains("the same N"));
  CHECK_THAT(complaint([](auto& f) { f.tensors[0].dtype = "F32"; }), Contains("latent z.0 is F32"));
  CHECK_THAT(complaint([](auto& f) { f.tensors[0].shape = {}; }), Contains("latent z.0"));
  CHECK_THAT(complaint([](auto& f) { f.metadata["weights_crc32c"] = "00000000"; }), Contains("other weights"));
  // A file without a checksum, made by another program, is taken at its word.
  SafetensorsFile foreign = good;
  foreign.metadata.clear();
  CHECK(latents_from_file(flow, foreign, "z.safetensors").n == 2);
  flow.parameters().value(3).data<float>()[0] += 1;
  CHECK_THAT(complaint([](auto&) {}), Contains("other weights"));
}

}  // namespace
}  // namespace flowsmith::core
