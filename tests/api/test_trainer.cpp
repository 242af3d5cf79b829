// The public Trainer: the same bits from an array, from a function and after a pause.
#include <numeric>

#include "models/training/trainer.h"
#include "tests/api/api_testing.h"
#include "tests/support/run_program.h"

namespace flowsmith {
namespace {

using namespace api_testing;

const TrainingOptions kQuick{.epochs = 3, .batch_size = 8, .lr = 0.01};

std::vector<double> weights_of(const Trainer& trainer) {
  std::vector<double> all;
  for (const StateArray& array : trainer.flow().state()) {
    all.insert(all.end(), array.values.begin(), array.values.end());
  }
  return all;
}

void run(Trainer& trainer, int steps) {
  for (int i = 0; i < steps; ++i) trainer.step();
}

TEST_CASE("training lowers the loss and ends with the last epoch", "[api]") {
  const std::vector<double> rows = some_rows(40);
  Trainer trainer(row_config(2, 4), rows, {.epochs = 12, .batch_size = 20, .lr = 0.02});
  CHECK(trainer.steps_per_epoch() == 2);
  CHECK(trainer.total_steps() == 24);
  const double first = trainer.step().loss;
  double last = first;
  while (!trainer.done()) last = trainer.step().loss;
  CHECK(trainer.steps_done() == 24);
  CHECK(last < first);
  trainer.step();  // and it may go on
  CHECK(trainer.steps_done() == 25);
}

TEST_CASE("an array and a function that hands it out train to the same bits", "[api]") {
  const std::vector<std::uint8_t> images = some_images(20);
  Trainer whole(image_config(), images, kQuick);
  std::vector<std::uint32_t> seen;
  Trainer piecewise(
      image_config(), 20,
      [&](std::span<const std::uint32_t> numbers, std::span<std::uint8_t> out) {
        for (std::size_t i = 0; i < numbers.size(); ++i) {
          seen.push_back(numbers[i]);
          std::copy_n(&images[numbers[i] * 64], 64, &out[i * 64]);
        }
      },
      kQuick);
  run(whole, 5);
  run(piecewise, 5);
  CHECK(weights_of(whole) == weights_of(piecewise));
  CHECK(*std::max_element(seen.begin(), seen.end()) == 19);
}

TEST_CASE("it trains as the layer below does", "[api]") {
  const std::vector<std::uint8_t> images = some_images(20);
  const TrainingOptions options{.epochs = 2, .batch_size = 8, .lr = 0.01, .lr_decay = 0.5, .clip_norm = 0.1, .seed = 9};
  const core::TrainingOptions below{.flow = core::FlowConfig::parse(image_config(), "test"),
                                    .epochs = 2,
                                    .batch_size = 8,
                                    .lr = 0.01,
                                    .lr_decay = 0.5,
                                    .clip_norm = 0.1,
                                    .seed = 9};
  core::TrainingData data{.name = "some", .index = std::vector<std::uint32_t>(20)};
  std::iota(data.index.begin(), data.index.end(), 0u);
  data.images = [&](std::span<const std::uint32_t> numbers, std::span<std::uint8_t> out) {
    for (std::size_t i = 0; i < numbers.size(); ++i) std::copy_n(&images[numbers[i] * 64], 64, &out[i * 64]);
  };
  core::Trainer reference(below, data, core::Device::kCpu);
  Trainer trainer(image_config(), images, options);
  for (int step = 0; step < 4; ++step) {
    if (reference.epoch_done()) reference.start_next_epoch();
    CHECK(trainer.learning_rate() == (step < 2 ? 0.01 : 0.005));
    const core::StepResult want = reference.step();
    const StepResult got = trainer.step();
    CHECK(got.loss == want.loss);
    CHECK(got.gradient_norm == want.gradient_norm);
  }
}

TEST_CASE("a resumed training ends with the bytes of the unbroken one", "[api]") {
  const core::TempDir dir;
  const bool images = GENERATE(true, false);
  const std::vector<std::uint8_t> pixels = some_images(20);
  const std::vector<double> rows = some_rows(20);
  const auto made = [&](int threads) {
    const Context context{.threads = threads};
    return images ? Trainer(image_config(), pixels, kQuick, context)
                  : Trainer(row_config(2, 2, true), rows, kQuick, context);
  };
  Trainer unbroken = made(1), first = made(2), second = made(1);
  run(unbroken, 5);
  unbroken.checkpoint(dir.file("unbroken"));
  run(first, 3);
  first.checkpoint(dir.file("half"));
  run(second, 1);
  second.resume(dir.file("half"));
  CHECK(second.steps_done() == 3);
  run(second, 2);
  second.checkpoint(dir.file("resumed"));
  CHECK(core::bytes_of(dir.file("resumed")) == core::bytes_of(dir.file("unbroken")));
  // The checkpoint is a weight file.
  CHECK(Flow::load(dir.file("resumed")).state()[0].values == second.flow().state()[0].values);
}

TEST_CASE("a flow standardizes with the mean and deviation of the rows it learns from", "[api]") {
  std::vector<double> rows = some_rows(50);
  for (std::size_t i = 0; i < rows.size(); i += 2) rows[i] = 1000 + 20 * rows[i];
  Trainer trainer(row_config(2, 2, true), rows, kQuick);
  trainer.step();
  double mean = 0;
  for (std::size_t i = 0; i < rows.size(); i += 2) mean += rows[i] / 50;
  bool found = false;
  for (const StateArray& array : trainer.flow().state()) {
    if (array.name != "flows.0.mean") continue;
    found = true;
    CHECK(array.values[0] == Approx(mean).epsilon(1e-12));
  }
  CHECK(found);
  for (std::size_t i = 0; i < rows.size(); i += 2) rows[i] = 7;
  CHECK(code_of([&] { Trainer(row_config(2, 2, true), rows, kQuick); }) == ErrorCode::kInvalidInput);
}

TEST_CASE("what a source throws comes out, and nothing is lost", "[api]") {
  const std::vector<double> rows = some_rows(16);
  bool broken = false;
  Trainer trainer(
      row_config(), 16,
      [&](std::span<const std::uint32_t> numbers, std::span<double> out) {
        if (broken) throw std::out_of_range("the disk is gone");
        for (std::size_t i = 0; i < numbers.size(); ++i) std::copy_n(&rows[numbers[i] * 2], 2, &out[i * 2]);
      },
      kQuick);
  Trainer whole(row_config(), rows, kQuick);
  run(whole, 3);
  trainer.step();
  broken = true;
  // A batch is fetched ahead: the step in hand may still have its own.
  CHECK_THROWS_AS(run(trainer, 2), std::out_of_range);
  broken = false;
  while (trainer.steps_done() < 3) trainer.step();
  CHECK(weights_of(trainer) == weights_of(whole));
}

TEST_CASE("trainings that cannot be are refused", "[api]") {
  const core::TempDir dir;
  const std::vector<std::uint8_t> images = some_images(10);
  const auto invalid = [](auto&& fn) { CHECK(code_of(fn) == ErrorCode::kInvalidInput); };
  invalid([&] { Trainer(image_config(), images, {.batch_size = 11}); });
  invalid([&] { Trainer(image_config(), images, {.batch_size = 0}); });
  invalid([&] { Trainer(image_config(), images, {.lr = -1}); });
  invalid([&] { Trainer(image_config(), std::span(images).first(65), kQuick); });
  invalid([&] { Trainer(image_config(), std::span(images).first(0), kQuick); });
  invalid([&] { Trainer(image_config(), some_rows(64), kQuick); });
  invalid([&] { Trainer(row_config(), some_images(8), kQuick); });
  invalid([&] { Trainer("no such model", images, kQuick); });
  Trainer trainer(image_config(), images, kQuick);
  trainer.step();
  const std::vector<double> before = weights_of(trainer);
  CHECK(code_of([&] { trainer.resume(dir.file("none")); }) == ErrorCode::kFile);
  trainer.flow().save(dir.file("weights"));
  CHECK(code_of([&] { trainer.resume(dir.file("weights")); }) == ErrorCode::kFile);
  CHECK(trainer.steps_done() == 1);
  CHECK(weights_of(trainer) == before);
  std::vector<double> rows = some_rows(16);
  rows[5] = NAN;
  Trainer diverging(row_config(), rows, {.batch_size = 16});
  const std::vector<double> weights = weights_of(diverging);
  CHECK(code_of([&] { diverging.step(); }) == ErrorCode::kNotFinite);
  CHECK(weights_of(diverging) == weights);
}

}  // namespace
}  // namespace flowsmith
