// Whole flows on the host with networks in bf16, their products by the model of AMX.
#include "models/runs/evaluation.h"
#include "tests/support/bf16_model.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/tiny_dataset.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core {
namespace {

/// Bits per dimension of the first steps of a small multiscale flow, in batches of 4 images of 8x4 pixels, and the
/// weights after them.
struct Run {
  std::vector<double> bits_per_dim;
  std::vector<float> weights;

  Run(const Dataset& dataset, Device device, int steps, int threads = 1) {
    device.threads = threads;
    TrainingOptions options;
    options.flow = tutorial("multiscale");
    options.batch_size = 4;
    Trainer trainer = trainer_for(options, dataset, device);
    for (int i = 0; i < steps; ++i) {
      if (trainer.epoch_done()) trainer.start_next_epoch();
      bits_per_dim.push_back(trainer.step().loss);
    }
    const Tensor values = trainer.flow().parameters().values();
    weights.assign(values.data<float>(), values.data<float>() + values.size());
  }
};

TEST_CASE("training with networks in bf16 follows training in fp32") {
  TempDir dir;
  const Dataset dataset = load_dataset(write_tiny_dataset(dir));
  constexpr int kSteps = 6;
  const Run fp32(dataset, {}, kSteps), bf16(dataset, kBf16Model, kSteps);
  for (int i = 0; i < kSteps; ++i) {
    CAPTURE(i);
    // The last convolution of a new flow is zero: the first loss does not depend on the networks. Later s and t are off
    // by about a product's 2^-8 of their size, which is below 1, half up and half down: far less than that in the mean
    // over the batch, in nats; and the weights drift apart.
    CHECK(std::abs(bf16.bits_per_dim[i] - fp32.bits_per_dim[i]) <= (i == 0 ? 0 : 0x1p-8 / std::log(2.0)));
  }
  CHECK(fp32.bits_per_dim.back() < fp32.bits_per_dim.front() - 1);  // they do learn
  CHECK(fp32.weights != bf16.weights);                              // in different ways
}

TEST_CASE("a training step in bf16 gives the same bits on any number of threads") {
  TempDir dir;
  const Dataset dataset = load_dataset(write_tiny_dataset(dir));
  const Run one(dataset, kBf16Model, 1, 1), three(dataset, kBf16Model, 1, 3);
  CHECK(one.bits_per_dim == three.bits_per_dim);
  CHECK(testing::same_bits(one.weights, three.weights));
}

}  // namespace
}  // namespace flowsmith::core
