#include "models/training_step.h"

#include <algorithm>
#include <cmath>

#include "engine/trace.h"

namespace flowsmith {

TrainingStep::TrainingStep(Flow& flow, bool recompute)
    : flow_(flow),
      path_(recompute ? DType::kF64 : flow.parameters().dtype()),
      adam_(flow.parameters()),
      inputs_(flow.device()),
      staging_(Staging::make(flow.device())),
      tape_(flow.device()),
      loss_result_(flow.device()),
      replay_(flow.device()) {
  tape_.set_recompute(recompute);
}

void TrainingStep::stage(ImageBatch batch, DequantizationNoise noise) {
  const TraceRange range("stage batch");
  staged_ = {batch, noise};
  const bool given_noise = noise.values != nullptr;
  std::byte* const block = staging_->begin(flow_.batch_bytes(batch.n, path_, given_noise));
  flow_.write_batch(flow_.lay_out_batch(block, batch.n, path_, given_noise), batch, noise);
  staging_->send();
}

void TrainingStep::lay_out(int n, bool given_noise) {
  if (batch_.images && batch_.images.map().n == n && bool(batch_.values) == given_noise) return;
  inputs_.reset();
  batch_ = flow_.new_batch(inputs_, n, path_, given_noise);
  replay_ = Replay(flow_.device());
}

void TrainingStep::forward_backward() {
  pass_ = flow_.forward(tape_, batch_, path_, false);
  loss_ = mean_bits_per_dim(tape_, pass_.log_prob, flow_.dims());
  tape_.backward(loss_);
}

void TrainingStep::give_back() {
  tape_.give_back();
  pass_ = {};
  replay_ = Replay(flow_.device());
}

int TrainingStep::largest_batch(const Batch& batch) {
  // All memory of a tape grows linearly with the batch. Some is left for what other work needs.
  constexpr double kShare = 0.9;
  const bool given_noise = batch.noise.values != nullptr;
  const auto bytes = [&](int n) {
    lay_out(n, given_noise);
    flow_.upload_batch(batch_, {batch.images.pixels, batch.images.index, n}, batch.noise);
    tape_.start(true);
    forward_backward();
    return double(tape_.arena().peak());
  };
  try {
    tape_.give_back();
    const double available = kShare * double(available_memory(flow_.device()));
    if (batch.images.n < 2) return 0;
    const double one = bytes(1), per_image = bytes(2) - one;
    return available < one ? 0 : int(std::min(1 + (available - one) / per_image, double(batch.images.n - 1)));
  } catch (const OutOfMemory&) {
    return 0;
  }
}

StepResult TrainingStep::run(AdamOptions options, double clip_norm, const std::function<void()>& meanwhile) {
  const TraceRange range("training step");
  const std::string step = std::to_string(adam_.step_count() + 1);
  const Batch batch = staged_;
  require(batch.images.n > 0, "a step needs a batch");
  adam_.prepare(options, clip_norm);
  try {
    lay_out(batch.images.n, batch.noise.values != nullptr);
    staging_->take(batch_.block.raw());
    replay_.run([&] { tape_.start(true); },
                [&] {
                  forward_backward();
                  loss_result_.fetch(tape_.value(loss_));
                  adam_.step(tape_.value(loss_));
                });
  } catch (const OutOfMemory& error) {
    const int fits = largest_batch(batch);
    throw OutOfMemory(error.what() + std::string(" (of ") + std::to_string(batch.images.n) + " images this one is, " +
                      (fits > 0 ? "about " + std::to_string(fits) + " would fit)" : "not even one would fit)"));
  }
  if (meanwhile) meanwhile();
  synchronize(flow_.device());
  StepResult result;
  result.bits_per_dim = loss_result_.value();
  result.gradient_norm = adam_.finish(result.bits_per_dim);
  if (!std::isfinite(result.bits_per_dim)) {
    const auto where = flow_.find_non_finite(batch.images, batch.noise, path_);
    throw Error("the loss of step " + step + " is not finite, first at " + where.value_or("the prior") +
                ": the weights before it are kept; start again with a smaller learning rate or clip norm");
  }
  if (!std::isfinite(result.gradient_norm)) {
    throw Error("the gradient of step " + step + " is not finite, first at " + locate_non_finite_gradient(batch) +
                ": the weights before it are kept; start again with a smaller learning rate or clip norm");
  }
  return result;
}

std::string TrainingStep::locate_non_finite_gradient(const Batch& batch) {
  const Parameters& parameters = flow_.parameters();
  const auto bad_parameter = [&]() -> std::string {
    std::vector<float> values;
    for (int i = 0; i < parameters.count(); ++i) {
      values.resize(parameters[i].shape.size());
      parameters.to_file_order(parameters.grads(), i, values.data());
      for (const float v : values) {
        if (!std::isfinite(v)) return "layer " + parameters[i].name;
      }
    }
    return {};
  };
  std::string found = bad_parameter();
  const bool given_noise = batch.noise.values != nullptr;
  for (int i = 0; i < batch.images.n; ++i) {
    const ImageBatch image{batch.images.pixels + i * flow_.dims(), batch.images.index + i, 1};
    DequantizationNoise noise = batch.noise;
    if (given_noise) noise.values += i * flow_.dims();
    lay_out(1, given_noise);
    flow_.upload_batch(batch_, image, noise);
    tape_.start(true);
    forward_backward();
    const std::string alone = bad_parameter();
    if (!alone.empty()) return alone + ", image " + std::to_string(*image.index);
  }
  return found + ", only in the sum over the images of the batch";
}

}  // namespace flowsmith
