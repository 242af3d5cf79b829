// A training step asks the system for no memory once it is warm: a program of its own, because it counts what all of
// its code asks for (counted_new.h).
#include <catch2/catch.hpp>
#include <memory>

#include "models/named_configs.h"
#include "models/training/training_step.h"
#include "tests/allocations/counted_new.h"
#include "tests/support/flow_examples.h"

namespace flowsmith::core {
namespace {

TEST_CASE("a warm training step of any named model allocates nothing", "[allocations][long]") {
  constexpr int kWarm = 3;  // arenas of several blocks become one when they are used again
  const bool recompute = GENERATE(false, true);
  for (const NamedConfig& config : named_configs()) {
    CAPTURE(config.name, recompute);
    Flow flow(FlowConfig::named(std::string(config.name)), Device::kCpu);
    flow.initialize(1);
    const testing::FlowExamples examples(flow, 4);
    const NoiseStream noise{1, NoisePurpose::kTraining, 0};
    if (flow.needs_data()) flow.initialize_from(examples.batch(), {noise});
    TrainingStep step(flow, recompute);
    const auto run = [&] {
      step.stage(examples.batch(), {noise});
      step.run({.lr = 1e-5}, 1);
    };
    for (int i = 0; i < kWarm; ++i) run();
    testing::start_counting();
    run();
    const int count = testing::stop_counting();
    CHECK(count == 0);
  }
}

TEST_CASE("allocations are counted", "[allocations]") {
  testing::start_counting();
  const auto one = std::make_unique<int>(1);
  const std::vector<double> two(1000, *one);
  const int count = testing::stop_counting();
  CHECK(count == 2);
  CHECK(two.back() == 1);
}

}  // namespace
}  // namespace flowsmith::core
