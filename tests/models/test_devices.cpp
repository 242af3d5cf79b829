// Flows of one process that compute in different ways: each gives the bits that it gives alone.
#include <deque>
#include <numeric>
#include <thread>

#include "engine/device_memory.h"
#include "models/training/training_step.h"
#include "tests/support/bf16_model.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/tiny_dataset.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core {
namespace {

using testing::random_bytes;
using testing::same_bits;

constexpr int kImages = 3;
constexpr int kSteps = 3;  // on a GPU: eager, captured, replayed

/// A flow at work: steps of training, each followed by scores and samples.
class Work {
 public:
  explicit Work(Device device)
      : flow_(tutorial("simple", "2024", 4, 4, 2), device),
        step_(flow_),
        pixels_(random_bytes(kImages * flow_.dims(), 17)) {
    randomize(flow_, 21);
    std::iota(index_.begin(), index_.end(), 5u);
  }

  void advance() {
    const Batch batch{pixels_.data(), index_.data(), kImages};
    step_.stage(batch, {{11, NoisePurpose::kTraining, step_count_++}});
    results_.push_back(step_.run({.lr = 1e-3}, 1).loss);
    for (const double log_prob : flow_.log_prob(batch, {{11, NoisePurpose::kScoring, 0}})) results_.push_back(log_prob);
    for (const std::uint8_t pixel : flow_.sample({.count = 2, .seed = 4})) results_.push_back(pixel);
  }

  /// All numbers so far, and the weights.
  std::vector<double> results() const {
    std::vector<double> all = to_doubles(flow_.parameters().values(), flow_.device());
    all.insert(all.end(), results_.begin(), results_.end());
    return all;
  }
  bool replays_graphs() const { return step_.graph_nodes() > 0; }

 private:
  Flow flow_;
  TrainingStep step_;
  std::vector<std::uint8_t> pixels_;
  std::vector<std::uint32_t> index_ = std::vector<std::uint32_t>(kImages);
  std::uint32_t step_count_ = 0;
  std::vector<double> results_;
};

std::vector<double> alone(Device device) {
  Work work(device);
  for (int i = 0; i < kSteps; ++i) work.advance();
  return work.results();
}

/// Flows on these devices, a step of each in turn, against each alone.
std::deque<Work> check_in_turn(const std::vector<Device>& devices) {
  std::deque<Work> works;  // which moves none: a step holds on to its flow
  for (const Device device : devices) works.emplace_back(device);
  for (int i = 0; i < kSteps; ++i) {
    for (Work& work : works) work.advance();
  }
  for (std::size_t i = 0; i < devices.size(); ++i) {
    CAPTURE(i);
    CHECK(same_bits(works[i].results(), alone(devices[i])));
  }
  return works;
}

Device bf16_on(int threads) {
  Device device = kBf16Model;
  device.threads = threads;
  return device;
}

TEST_CASE("flows of the host in different precisions and on different numbers of threads take turns", "[devices]") {
  const std::deque<Work> works = check_in_turn({Device{.threads = 1}, bf16_on(2), Device{.threads = 3}, bf16_on(1)});
  CHECK(same_bits(works[0].results(), works[2].results()));  // threads change nothing
  CHECK(same_bits(works[1].results(), works[3].results()));
  CHECK_FALSE(same_bits(works[0].results(), works[1].results()));  // bf16 does
}

TEST_CASE("flows of the host run at once on two of its threads", "[devices]") {
  const Device devices[] = {{.threads = 1}, bf16_on(2)};
  std::vector<double> results[2];
  {
    std::jthread threads[2];
    for (int i = 0; i < 2; ++i) {
      threads[i] = std::jthread([&, i] { results[i] = alone(devices[i]); });
    }
  }
  for (int i = 0; i < 2; ++i) {
    CAPTURE(i);
    CHECK(same_bits(results[i], alone(devices[i])));
  }
}

TEST_CASE("flows on the GPU's kernels take turns in different precisions, one of them without graphs",
          "[gpu][devices][long]") {
  const Device tf32{.kind = DeviceKind::kEmulated, .precision = NetPrecision::kTf32};
  Device eager = tf32;
  eager.graphs = false;
  const std::deque<Work> works = check_in_turn({Device::kEmulated, tf32, eager, Device::kCpu});
  CHECK(works[0].replays_graphs());
  CHECK(works[1].replays_graphs());
  CHECK_FALSE(works[2].replays_graphs());
  CHECK(same_bits(works[1].results(), works[2].results()));
  CHECK_FALSE(same_bits(works[0].results(), works[1].results()));
}

TEST_CASE("a flow refuses a device that cannot do what it is asked for", "[devices]") {
  CHECK_THROWS_AS(Flow(tutorial("simple"), Device{.precision = NetPrecision::kTf32}), Error);
  CHECK_THROWS_AS(Flow(tutorial("simple"), Device{.threads = -1}), Error);
}

}  // namespace
}  // namespace flowsmith::core
