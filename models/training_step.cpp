#include "models/training_step.h"

#include <algorithm>
#include <cmath>

namespace flowsmith {

TrainingStep::TrainingStep(Flow& flow)
    : flow_(flow), adam_(flow.parameters()), inputs_(flow.device()), tape_(flow.device()), replay_(flow.device()) {}

void TrainingStep::lay_out(int n, bool given_noise) {
  if (batch_.images && batch_.images.map().n == n && bool(batch_.values) == given_noise) return;
  inputs_.reset();
  batch_ = flow_.new_batch(inputs_, n, flow_.parameters().dtype(), given_noise);
  replay_ = Replay(flow_.device());
}

void TrainingStep::forward_backward() {
  // The path has the networks' precision here: only what must be undone exactly needs f64.
  pass_ = flow_.forward(tape_, batch_, flow_.parameters().dtype(), false);
  loss_ = mean_bits_per_dim(tape_, pass_.log_prob, flow_.dims());
  tape_.backward(loss_);
}

int TrainingStep::largest_batch(ImageBatch batch, DequantizationNoise noise) {
  // A tape keeps all activations: memory grows linearly with the batch. Some is left for what other work needs.
  constexpr double kShare = 0.9;
  const auto bytes = [&](int n) {
    lay_out(n, noise.values != nullptr);
    flow_.upload_batch(batch_, {batch.pixels, batch.index, n}, noise);
    tape_.start(true);
    forward_backward();
    return double(tape_.arena().used());
  };
  try {
    tape_.give_back();
    const double available = kShare * double(available_memory(flow_.device()));
    if (batch.n < 2) return 0;
    const double one = bytes(1), per_image = bytes(2) - one;
    return available < one ? 0 : int(std::min(1 + (available - one) / per_image, double(batch.n - 1)));
  } catch (const OutOfMemory&) {
    return 0;
  }
}

StepResult TrainingStep::run(ImageBatch batch, DequantizationNoise noise, AdamOptions options, double clip_norm) {
  const std::string step = std::to_string(adam_.step_count() + 1);
  adam_.prepare(options, clip_norm);
  try {
    lay_out(batch.n, noise.values != nullptr);
    flow_.upload_batch(batch_, batch, noise);
    replay_.run([&] { tape_.start(true); },
                [&] {
                  forward_backward();
                  adam_.step(tape_.value(loss_));
                });
  } catch (const OutOfMemory& error) {
    const int fits = largest_batch(batch, noise);
    throw OutOfMemory(error.what() + std::string(" (of ") + std::to_string(batch.n) + " images this one is, " +
                      (fits > 0 ? "about " + std::to_string(fits) + " would fit)" : "not even one would fit)"));
  }
  StepResult result;
  result.bits_per_dim = tape_.read<double>(tape_.value(loss_))[0];
  result.gradient_norm = adam_.finish(result.bits_per_dim);
  if (!std::isfinite(result.bits_per_dim)) {
    const auto where = flow_.find_non_finite(batch, noise, flow_.parameters().dtype());
    throw Error("the loss of step " + step + " is not finite, first at " + where.value_or("the prior") +
                ": the weights before it are kept; start again with a smaller learning rate or clip norm");
  }
  if (!std::isfinite(result.gradient_norm)) {
    throw Error("the gradient of step " + step + " is not finite, first at " +
                locate_non_finite_gradient(batch, noise) +
                ": the weights before it are kept; start again with a smaller learning rate or clip norm");
  }
  return result;
}

std::string TrainingStep::locate_non_finite_gradient(ImageBatch batch, DequantizationNoise noise) {
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
  for (int i = 0; i < batch.n; ++i) {
    DequantizationNoise one = noise;
    if (noise.values != nullptr) one.values += i * flow_.dims();
    lay_out(1, noise.values != nullptr);
    flow_.upload_batch(batch_, {batch.pixels + i * flow_.dims(), batch.index + i, 1}, one);
    tape_.start(true);
    forward_backward();
    const std::string alone = bad_parameter();
    if (!alone.empty()) return alone + ", image " + std::to_string(batch.index[i]);
  }
  return found + ", only in the sum over the images of the batch";
}

}  // namespace flowsmith
