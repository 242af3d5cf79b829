#include "models/training_step.h"

#include <cmath>

namespace flowsmith {

TrainingStep::TrainingStep(Flow& flow) : flow_(flow), adam_(flow.parameters()), tape_(flow.device()) {}

double TrainingStep::forward_backward(ImageBatch batch, DequantizationNoise noise) {
  tape_.start(true);
  // The path has the networks' precision here: only what must be undone exactly needs f64.
  pass_ = flow_.forward(tape_, batch, noise, flow_.parameters().dtype(), false);
  n_ = batch.n;
  const Var loss = mean_bits_per_dim(tape_, pass_.log_prob, flow_.dims());
  const double value = *tape_.value(loss).data<double>();
  if (std::isfinite(value)) tape_.backward(loss);
  return value;
}

StepResult TrainingStep::run(ImageBatch batch, DequantizationNoise noise, AdamOptions options, double clip_norm) {
  const std::string step = std::to_string(adam_.step_count() + 1);
  StepResult result;
  result.bits_per_dim = forward_backward(batch, noise);
  if (!std::isfinite(result.bits_per_dim)) {
    const auto where = flow_.find_non_finite(batch, noise, flow_.parameters().dtype());
    throw Error("the loss of step " + step + " is not finite, first at " + where.value_or("the prior") +
                ": the weights before it are kept; start again with a smaller learning rate or clip norm");
  }
  result.gradient_norm = adam_.gradient_norm();
  if (!std::isfinite(result.gradient_norm)) {
    throw Error("the gradient of step " + step + " is not finite, first at " +
                locate_non_finite_gradient(batch, noise) +
                ": the weights before it are kept; start again with a smaller learning rate or clip norm");
  }
  adam_.step(result.gradient_norm, clip_norm, options);
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
    forward_backward({batch.pixels + i * flow_.dims(), batch.index + i, 1}, one);
    const std::string alone = bad_parameter();
    if (!alone.empty()) return alone + ", image " + std::to_string(batch.index[i]);
  }
  return found + ", only in the sum over the images of the batch";
}

}  // namespace flowsmith
