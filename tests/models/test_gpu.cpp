// Whole flows on a GPU's kernels, run by the emulator: what they compute is what the host computes, eagerly and
// replayed from a graph. The emulator's device memory cannot be read outside of kernels, so a forgotten copy ends the
// program.
#include <cmath>
#include <numeric>

#include "engine/device_memory.h"
#include "kernels/cuda/emulator/emulator.h"
#include "models/runs/evaluation.h"
#include "models/runs/training_run.h"
#include "tests/support/error_of.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/run_program.h"
#include "tests/support/scarce_gpu.h"
#include "tests/support/tiny_dataset.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;
using testing::random_bytes;

constexpr int kImages = 3;

struct Images {
  explicit Images(const Flow& flow, int n = kImages) : pixels(random_bytes(n * flow.dims(), 17)), index(n) {
    std::iota(index.begin(), index.end(), 5u);
  }
  Batch batch() const { return batch(int(index.size())); }
  Batch batch(int n) const { return {pixels.data(), index.data(), n}; }  ///< the first n

  std::vector<std::uint8_t> pixels;
  std::vector<std::uint32_t> index;
};

Flow random_flow(const std::string& model, Device device) {
  Flow flow(tutorial(model, "2024", 4, 4), device);
  randomize(flow, 21);
  return flow;
}

/// As training begins: the last convolutions are zero.
Flow new_flow(const std::string& model, Device device) {
  Flow flow(tutorial(model, "2024", 4, 4), device);
  flow.initialize(21);
  return flow;
}

NoiseStream noise(std::uint32_t draw) { return {11, NoisePurpose::kScoring, draw}; }

/// Losses of consecutive steps, each with noise of its own and staged while the one before it runs.
std::vector<double> losses(Flow& flow, int steps, std::size_t* graph_nodes = nullptr) {
  const Images images(flow);
  TrainingStep step(flow);
  std::vector<double> result;
  const auto stage = [&](int i) { step.stage(images.batch(), {noise(std::uint32_t(i))}); };
  stage(0);
  for (int i = 0; i < steps; ++i) {
    step.launch({.lr = 1e-3}, 1);
    stage(i + 1);
    result.push_back(step.finish().loss);
  }
  if (graph_nodes != nullptr) *graph_nodes = step.graph_nodes();
  return result;
}

TEST_CASE("training on the GPU's kernels is training on the host", "[gpu][long]") {
  const std::string model = GENERATE("simple", "multiscale");
  constexpr int kSteps = 3;  // eager, captured, replayed
  Flow host = new_flow(model, Device::kCpu), gpu = new_flow(model, Device::kEmulated);
  std::size_t graph_nodes = 0;
  const std::vector<double> want = losses(host, kSteps), got = losses(gpu, kSteps, &graph_nodes);
  for (int i = 0; i < kSteps; ++i) {
    INFO("step " << i << ": " << got[i] << " and " << want[i]);
    // Float networks; in the first steps Adam divides by the root of one square, which makes much of small gradients.
    CHECK(std::abs(got[i] - want[i]) < 1e-4);
  }
  CHECK(graph_nodes > 100);

  // The graph does what the launches do, to the bit. The flows differ in layers, not in how they are replayed: one will
  // do.
  if (model != "simple") return;
  Flow eager = new_flow(model, Device{.kind = DeviceKind::kEmulated, .graphs = false});
  CHECK(losses(eager, kSteps) == got);
  CHECK(download<float>(Device::kEmulated, eager.parameters().values()) ==
        download<float>(Device::kEmulated, gpu.parameters().values()));
}

TEST_CASE("scores, latents and samples of the GPU's kernels are those of the host", "[gpu][long]") {
  const std::string model = GENERATE("vardeq", "multiscale");
  Flow host = random_flow(model, Device::kCpu), gpu = random_flow(model, Device::kEmulated);
  gpu.set_inference_batch(2);  // pieces of 2 and 1
  const Images images(host);
  for (std::uint32_t draw = 0; draw < 4; ++draw) {
    const auto want = host.log_prob(images.batch(), {noise(draw)}), got = gpu.log_prob(images.batch(), {noise(draw)});
    // Float networks: 1e-5 in s and t of each of some ten couplings, times 16 elements.
    for (int i = 0; i < kImages; ++i) CHECK(std::abs(got[i] - want[i]) < 3e-3);
  }
  const Latents latents = gpu.encode(images.batch(), {noise(0)}), expected = host.encode(images.batch(), {noise(0)});
  for (std::size_t k = 0; k < latents.size(); ++k) {
    for (std::size_t i = 0; i < latents[k].values.size(); ++i) {
      CHECK(std::abs(latents[k].values[i] - expected[k].values[i]) < 1e-3);
    }
  }
  CHECK(gpu.decode(latents, kImages) == images.pixels);

  const auto want = host.sample({.count = 7, .seed = 3}), got = gpu.sample({.count = 7, .seed = 3});
  int different = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    different += want[i] != got[i];
    CHECK(std::abs(int(want[i]) - int(got[i])) <= 1);
  }
  CHECK(different < int(want.size()) / 50);  // a rounding of 1e-5 crosses the edge of a grey level now and then
}

TEST_CASE("a step on the GPU that diverges names the place and keeps the weights", "[gpu]") {
  Flow flow = random_flow("simple", Device::kEmulated);
  const Images images(flow);
  std::vector<float> scaling{200.0f};  // exp(200) is infinite in float
  flow.parameters().from_file_order(flow.parameters().values(), 0, scaling.data());
  REQUIRE(flow.parameters()[0].name == "flows.1.scaling_factor");
  const auto before = download<float>(Device::kEmulated, flow.parameters().values());
  TrainingStep step(flow);
  step.stage(images.batch(), {noise(0)});
  const std::string message = error_of([&] { step.run({}, 1); });
  CHECK_THAT(message, Contains("step 1") && Contains("not finite") && Contains("image 5"));
  CHECK(download<float>(Device::kEmulated, flow.parameters().values()) == before);
  CHECK(step.adam().step_count() == 0);
}

TEST_CASE("a step that a GPU has no room for says how much is missing and which batch would fit", "[gpu]") {
  Flow flow = random_flow("simple", Device::kEmulated);
  const Images images(flow);
  TrainingStep step(flow);
  step.stage(images.batch(), {noise(0)});
  const ScarceGpu gpu(1000);
  const std::string message = error_of([&] { step.run({}, 1); });
  CHECK_THAT(message, Contains("GPU memory is full") && Contains("MiB more were asked for, 1 MiB are free") &&
                          Contains("(of 3 images this one is, not even one would fit)"));
}

TEST_CASE("passes that a GPU has no room for are made in halves, to the same bits", "[gpu]") {
  constexpr int kMany = 100;
  Flow roomy = random_flow("simple", Device::kEmulated), flow = random_flow("simple", Device::kEmulated);
  const Images images(flow, kMany);
  const std::vector<double> scores = roomy.log_prob(images.batch(), {noise(0)});
  const Latents latents = roomy.encode(images.batch(), {noise(0)});
  const std::vector<std::uint8_t> samples = roomy.sample({.count = kMany, .seed = 3});
  const auto check = [&](auto&& work) {
    flow.set_inference_batch(kMany);
    work();
    CHECK(flow.inference_batch() < kMany);
    CHECK(flow.inference_batch() > 1);
  };
  const ScarceGpu gpu(192u << 10);
  check([&] { CHECK(flow.log_prob(images.batch(), {noise(0)}) == scores); });
  check([&] {
    const Latents again = flow.encode(images.batch(), {noise(0)});
    for (std::size_t k = 0; k < latents.size(); ++k) CHECK(again[k].values == latents[k].values);
  });
  check([&] { CHECK(flow.decode(latents, kMany) == images.pixels); });
  check([&] { CHECK(flow.sample({.count = kMany, .seed = 3}) == samples); });
}

TEST_CASE("a pass of one example that a GPU has no room for is an error", "[gpu]") {
  Flow flow = random_flow("simple", Device::kEmulated);
  const Images images(flow);
  const ScarceGpu gpu(1000);
  CHECK_THAT(error_of([&] { flow.log_prob(images.batch(), {noise(0)}); }),
             Contains("GPU memory is full") && Contains("not even one example has room"));
}

TEST_CASE("the batch that is said to fit on a GPU does", "[gpu][long]") {
  constexpr std::size_t kFree = 384u << 10;  // some images' activations
  constexpr int kMany = 1000;  // their first feature map, of 128 floats each, has no room, so no network runs for them
  // Batch norm takes no batch of one, but its memory is measured all the same.
  const FlowConfig config =
      GENERATE(tutorial("simple", "2024", 2, 2),
               FlowConfig::parse(R"({"data": {"type": "image8", "height": 2, "width": 2}, "layers": ["batch_norm",
          {"type": "coupling", "conditioner": {"type": "resnet", "hidden": 32, "blocks": 0}}]})",
                                 "here"));
  Flow flow(config, Device::kEmulated);
  randomize(flow, 21);
  const Images images(flow, kMany);
  GpuContext<Emulated>::instance().reserve(16u << 20);  // what kernels need beside the tape, as after a smaller step
  TrainingStep step(flow);
  step.stage(images.batch(), {noise(0)});
  const ScarceGpu gpu(kFree);
  const std::string message = error_of([&] { step.run({}, 1); });
  INFO(message);
  const std::string before = "(of 1000 images this one is, about ";
  const std::size_t at = message.find(before);
  REQUIRE(at != std::string::npos);
  const int fits = std::stoi(message.substr(at + before.size()));
  CHECK_THAT(message, Contains("GPU memory is full") && Catch::EndsWith(before + std::to_string(fits) + " would fit)"));
  REQUIRE(fits > 2);  // more than was tried
  step.stage(images.batch(fits), {noise(0)});
  CHECK(std::isfinite(step.run({}, 1).loss));
  CHECK(step.adam().step_count() == 1);
}

/// Batches of 4 of 20 images of 4 x 4 pixels: five steps an epoch.
struct TinyTraining {
  TempDir dir;
  Dataset dataset = load_dataset(write_tiny_dataset(dir, "tiny", {24, 6, 4, 4}));
  Trainer trainer;

  TinyTraining() : trainer(trainer_for(options(), dataset, Device::kEmulated)) {}
  static TrainingOptions options() {
    TrainingOptions options;
    options.flow = tutorial("simple");
    options.batch_size = 4;
    return options;
  }
  std::vector<float> weights() const {
    return download<float>(Device::kEmulated, trainer.flow().parameters().values());
  }
};

TEST_CASE("a GPU that begins a step before the last one's result is read does the same steps", "[gpu][long]") {
  TinyTraining one, two;
  std::vector<double> want, got;
  for (int i = 0; i < 5; ++i) want.push_back(one.trainer.step().loss);
  for (int i = 0; i < 5; ++i) {
    got.push_back(two.trainer.step(i != 2).loss);
    CHECK(two.trainer.steps_done() == i + 1);
    CHECK(two.trainer.is_ahead() == (i != 2 && i != 4));  // the epoch has no sixth
  }
  CHECK(got == want);
  CHECK(two.weights() == one.weights());
  CHECK(two.trainer.checkpoint().metadata == one.trainer.checkpoint().metadata);
}

TEST_CASE("a step that diverges keeps the weights although the next one has begun", "[gpu]") {
  TinyTraining training;
  Parameters& parameters = training.trainer.flow().parameters();
  REQUIRE(parameters[0].name == "flows.1.scaling_factor");
  const std::vector<float> good = training.weights(), scaling{200.0f};  // exp(200) is infinite in float
  parameters.from_file_order(parameters.values(), 0, scaling.data());
  const auto before = training.weights();
  CHECK_THAT(error_of([&] { training.trainer.step(true); }), Contains("step 1") && Contains("not finite"));
  CHECK_FALSE(training.trainer.is_ahead());
  CHECK(training.weights() == before);
  CHECK(training.trainer.steps_done() == 0);

  // Put right, it goes on with the same batch.
  upload(Device::kEmulated, parameters.values(), good.data());
  TinyTraining other;
  CHECK(training.trainer.step(true).loss == other.trainer.step().loss);
}

struct Quiet : TrainingObserver {
  void message(const std::string&) override {}
  void progress(const TrainingProgress&) override {}
};

struct BreaksTheGpu : Quiet {
  void progress(const TrainingProgress&) override { emulator::break_kernel("gated_block_backward_kernel"); }
};

TEST_CASE("a kernel that fails in a run ends it in one line and leaves the checkpoint before it", "[gpu][long]") {
  const TempDir dir;
  RunConfig config;
  config.data = write_tiny_dataset(dir, "tiny", {60, 12, 4, 4});
  config.training.flow = tutorial("simple");
  config.training.batch_size = 10;
  const RunFolder folder(dir.file("run"));
  const std::atomic<bool> stop{false};
  const auto train = [&](bool resume, std::int64_t steps, Device device, TrainingObserver&& observer) {
    return run_training(config, RunClaim(folder), resume, {0, steps}, device, stop, observer);
  };
  train(false, 1, Device::kCpu, Quiet());
  const std::string before = bytes_of(folder.last());
  const std::string message = error_of([&] { train(true, 4, Device::kEmulated, BreaksTheGpu()); });
  emulator::mend_device();
  CHECK_THAT(message, Contains("the GPU failed after step") && Contains("illegal memory access") && Contains(".cu:") &&
                          Contains("resume from the last checkpoint"));
  CHECK(bytes_of(folder.last()) == before);
  CHECK(train(true, 3, Device::kCpu, Quiet()).steps_done == 3);
}

}  // namespace
}  // namespace flowsmith::core
