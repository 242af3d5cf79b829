// Training that keeps no activations: the gradients are the same, memory does not grow with depth.
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/likelihood.h"
#include "models/gradient_suite.h"
#include "models/runs/evaluation.h"
#include "tests/support/error_of.h"
#include "tests/support/flow_examples.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/run_program.h"
#include "tests/support/tiny_dataset.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;
using testing::FlowExamples;

/// What one forward and backward pass leaves.
struct Derivatives {
  double loss = 0, drift = 0;
  std::size_t peak = 0, rebuilt = 0;  ///< bytes of the arena; runs of couplings
  std::vector<std::vector<double>> gradients;
};

Derivatives differentiate(const Flow& flow, int n, bool recompute, DType path, bool batch_statistics = true) {
  const FlowExamples examples(flow, n);
  Tape tape(flow.device());
  tape.set_recompute(recompute);
  tape.start(true);
  const Flow::Pass pass =
      flow.forward(tape, examples.batch(), {{3, NoisePurpose::kTraining, 0}}, path, false, batch_statistics);
  const Var loss = mean_negative_log_prob(tape, pass.log_prob, nats_per_bit_per_dim(flow.dims()));
  tape.backward(loss);
  Derivatives result{tape.read<double>(tape.value(loss))[0],
                     largest_drift(pass.rebuilt, flow.device()),
                     tape.arena().peak(),
                     pass.rebuilt.size(),
                     {}};
  for (int i = 0; i < flow.parameters().count(); ++i) {
    result.gradients.push_back(to_doubles(flow.parameters().grad(i), flow.device()));
  }
  return result;
}

double largest(const std::vector<double>& values) {
  double result = 0;
  for (const double v : values) result = std::max(result, std::abs(v));
  return result;
}

/// The worst difference of a parameter's gradient, relative to its largest element, or to 1/100 of the largest of all:
/// what stands in front of a batch norm has biases whose gradients are 0 but for rounding.
double worst_difference(const Derivatives& a, const Derivatives& b) {
  double worst = 0, largest_of_all = 0;
  for (const std::vector<double>& gradient : b.gradients) largest_of_all = std::max(largest_of_all, largest(gradient));
  for (std::size_t p = 0; p < a.gradients.size(); ++p) {
    std::vector<double> difference = a.gradients[p];
    for (std::size_t e = 0; e < difference.size(); ++e) difference[e] -= b.gradients[p][e];
    worst = std::max(worst, largest(difference) / std::max(largest(b.gradients[p]), largest_of_all / 100));
  }
  return worst;
}

TEST_CASE("gradients with recompute are those without", "[recompute]") {
  // How many copies are kept: one for each row of couplings with nothing between them.
  const auto [model, rows] = GENERATE(table<std::string, std::size_t>({{"simple", 1},
                                                                       {"simple_2022", 1},
                                                                       {"vardeq", 2},
                                                                       {"vardeq_2022", 2},
                                                                       {"multiscale", 4},
                                                                       {"multiscale_2022", 4},
                                                                       {"moons", 1},
                                                                       {"nice", 1},
                                                                       {"glow", 4},
                                                                       {"realnvp", 10}}));
  INFO(model);
  const auto both = [&, model = model, rows = rows](Device device, DType type, DType path) {
    Flow flow(small_config(model), device, type);
    set_random_parameters(flow, 7);
    const Derivatives kept = differentiate(flow, 3, false, path), rebuilt = differentiate(flow, 3, true, path);
    CHECK(kept.rebuilt == 0);
    CHECK(rebuilt.rebuilt == rows);
    CHECK(rebuilt.loss == kept.loss);  // forward is the same to the bit
    return std::pair(worst_difference(rebuilt, kept), rebuilt.drift);
  };
  {
    // Double rounds at 1e-16; eight couplings whose scales change numbers by a factor of e^1 at most carry that on, and
    // gradients are sums of hundreds of terms, some of which cancel.
    const auto [difference, drift] = both(Device::kReference, DType::kF64, DType::kF64);
    CHECK(difference < 1e-10);
    CHECK(drift < 1e-12);
    CHECK(drift > 0);
  }
  {
    // The same with 6e-8.
    const auto [difference, drift] = both(Device::kCpu, DType::kF32, DType::kF32);
    CHECK(difference < 1e-4);
    CHECK(drift < 1e-5);
    CHECK(drift > 0);
  }
  {
    // As in training: the networks see a double cast to float, which is rarely another one than before, and then its
    // neighbour. That changes their gradients by 6e-8 of their terms.
    const auto [difference, drift] = both(Device::kCpu, DType::kF32, DType::kF64);
    CHECK(difference < 1e-5);
    CHECK(drift < 1e-12);
    CHECK(drift > 0);
  }
}

TEST_CASE("the gradients of a whole flow with recompute are the derivatives of its loss", "[recompute][long]") {
  int found = 0;
  for (const GradientCase& gradient_case : flow_difference_cases()) {
    if (gradient_case.name.find("flow vardeq (1, 3, 3, 1) recompute") == std::string::npos) continue;
    ++found;
    for (const GradientCheck& check : gradient_case.run()) {
      INFO(check.input << " at " << check.where);
      CHECK(check.error <= gradient_case.bound);
    }
  }
  CHECK(found == 1);
}

TEST_CASE("with recompute the memory of a step does not depend on the number of couplings", "[recompute]") {
  const std::string model = GENERATE("simple", "vardeq", "multiscale");
  INFO(model);
  const auto peak = [&](int couplings, bool recompute) {
    Flow flow(tutorial(model, "2024", 4, 4, couplings));
    flow.initialize(1);
    return differentiate(flow, 3, recompute, DType::kF64).peak;
  };
  const std::size_t eight = peak(8, true);
  CHECK(peak(16, true) == eight);
  CHECK(peak(64, true) == eight);
  CHECK(peak(16, false) > 3 * peak(8, false) / 2);
  // One network with its gradients instead of eight, of which multiscale has smaller ones.
  CHECK(eight < peak(8, false) / 2);
}

TEST_CASE("the memory of a step grows linearly with the batch, with and without recompute", "[recompute]") {
  // This is how a step that has no room says which batch would fit.
  const bool recompute = GENERATE(false, true);
  Flow flow(tutorial("multiscale", "2024", 4, 4));
  flow.initialize(1);
  const auto peak = [&](int n) { return double(differentiate(flow, n, recompute, DType::kF64).peak); };
  const double one = peak(1), expected = one + 11 * (peak(2) - one);
  CHECK(std::abs(peak(12) - expected) < 0.05 * expected);  // each tensor is rounded up to 64 bytes, each time
}

TEST_CASE("the drift of a deep flow is reported, and small in double", "[recompute]") {
  Flow flow(tutorial("simple", "2024", 4, 4, 32));
  randomize(flow, 5);
  // Each of 32 couplings rounds numbers of order 1 to 10, and the inverse of those in front of it may stretch that.
  // Networks are float either way: their gradients move by what a cast to another neighbour makes, or by the drift.
  for (const auto& [path, bound] : {std::pair{DType::kF32, 1e-4}, std::pair{DType::kF64, 1e-12}}) {
    const Derivatives kept = differentiate(flow, 2, false, path), rebuilt = differentiate(flow, 2, true, path);
    CHECK(kept.drift == 0);
    CHECK(rebuilt.drift > 0);
    CHECK(rebuilt.drift < bound);
    CHECK(worst_difference(rebuilt, kept) < (path == DType::kF64 ? 1e-5 : 1e-3));
  }
}

/// Batches of 10 of the 50 training images: five steps an epoch.
TrainingOptions tiny_options(const std::string& model) {
  TrainingOptions options;
  options.flow = tutorial(model);
  options.batch_size = 10;
  options.recompute = true;
  return options;
}

struct TinyData {
  TempDir dir;
  Dataset dataset = load_dataset(write_tiny_dataset(dir));
};

void run_steps(Trainer& trainer, int steps) {
  for (int i = 0; i < steps; ++i) {
    if (trainer.epoch_done()) trainer.start_next_epoch();
    trainer.step();
  }
}

/// All bytes of a checkpoint.
std::string bytes_of_state(const Trainer& trainer, const TempDir& dir) {
  const std::string path = dir.file("state.safetensors");
  write_safetensors(path, trainer.checkpoint());
  return bytes_of(path);
}

TEST_CASE("training with recompute is the same with any number of threads, and goes on where it stopped",
          "[recompute][long]") {
  const TinyData data;
  const TrainingOptions options = tiny_options("multiscale");
  Trainer one = trainer_for(options, data.dataset, Device{.threads = 1});
  run_steps(one, 3);
  const SafetensorsFile three = one.checkpoint();
  run_steps(one, 3);
  const std::string want = bytes_of_state(one, data.dir);
  CHECK(one.drift() > 0);
  CHECK(one.drift() < 1e-12);  // numbers of order 1 to 10, rounded at 1e-16, through rows of at most four couplings

  Trainer two = trainer_for(options, data.dataset, Device{.threads = 2});
  run_steps(two, 6);
  CHECK(bytes_of_state(two, data.dir) == want);
  Trainer resumed = trainer_for(options, data.dataset, Device{.threads = 3});
  resumed.restore(three, "last.safetensors");
  run_steps(resumed, 3);
  CHECK(bytes_of_state(resumed, data.dir) == want);

  TrainingOptions keeping = options;
  keeping.recompute = false;
  Trainer other = trainer_for(keeping, data.dataset, Device::kCpu);
  run_steps(other, 6);
  CHECK(other.drift() == 0);
  // Six steps of Adam at a rate of 1e-3 make of different roundings what they can, and that is little.
  CHECK(std::abs(other.epoch_loss() - one.epoch_loss()) < 1e-3);
}

void set_parameter(Flow& flow, const std::string& name, float value) {
  int p = 0;
  while (flow.parameters()[p].name != name) ++p;
  flow.parameters().value(p).data<float>()[0] = value;
}

TEST_CASE("with recompute too, what is not finite stops training before the weights change", "[recompute]") {
  const TinyData data;
  Trainer trainer = trainer_for(tiny_options("simple"), data.dataset, Device::kCpu);
  const auto failure = [&] {
    const std::string before = bytes_of_state(trainer, data.dir);
    const std::string message = error_of([&] { trainer.step(); });
    CHECK(bytes_of_state(trainer, data.dir) == before);
    return message;
  };
  // A log-scale of 60 (bounded by e^7) makes latents of e^60: their squares fit the loss, which is a double, but the
  // gradient of the log-scale, a float, overflows.
  set_parameter(trainer.flow(), "flows.8.scaling_factor", 7);
  set_parameter(trainer.flow(), "flows.8.network.nn.8.bias", 60);
  CHECK_THAT(failure(), Contains("gradient of step 1 is not finite") && Contains("layer flows.") && Contains("image "));
  set_parameter(trainer.flow(), "flows.4.network.nn.0.bias", std::numeric_limits<float>::quiet_NaN());
  CHECK_THAT(failure(), Contains("loss of step 1 is not finite") && Contains("layer flows.4 (coupling"));
}

TEST_CASE("with recompute too, a graph of the GPU's kernels does what their launches do", "[recompute][gpu]") {
  const auto losses = [](Device device, double& drift) {
    Flow flow(tutorial("simple", "2024", 4, 4, 2), device);  // as many layers as the emulator has time for
    flow.initialize(21);
    const FlowExamples images(flow, 2);
    TrainingStep step(flow, true);
    std::vector<double> result;
    for (std::uint32_t i = 0; i < 3; ++i) {  // eager, captured, replayed
      step.stage(images.batch(), {{11, NoisePurpose::kTraining, i}});
      result.push_back(step.run({.lr = 1e-3}, 1).loss);
    }
    drift = step.drift();
    return result;
  };
  double drift[3];
  const std::vector<double> graph = losses(Device::kEmulated, drift[0]);
  CHECK(losses(Device{.kind = DeviceKind::kEmulated, .graphs = false}, drift[1]) == graph);
  CHECK(drift[0] == drift[1]);
  CHECK(drift[0] > 0);
  const std::vector<double> host = losses(Device::kCpu, drift[2]);
  for (int i = 0; i < 3; ++i) {
    // Float networks; in the first steps Adam divides by the root of one square, which makes much of small gradients.
    CHECK(std::abs(graph[i] - host[i]) < 1e-4);
    CHECK(drift[i] < 1e-12);  // numbers of order 1 to 10, rounded at 1e-16
  }
}

}  // namespace
}  // namespace flowsmith::core
