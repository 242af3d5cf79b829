// One step of maximum-likelihood training: forward, backward, clip, Adam.
#pragma once

#include "engine/adam.h"
#include "models/flow.h"

namespace flowsmith {

struct StepResult {
  double bits_per_dim = 0;   ///< mean over the batch, before the update
  double gradient_norm = 0;  ///< before clipping
};

class TrainingStep {
 public:
  /// Holds on to the flow, which must outlive this and stay where it is.
  explicit TrainingStep(Flow& flow);

  /// Runs one step. If the loss or the gradient is not finite, throws Error that names the step, the layer and the
  /// image, and leaves the weights as they were.
  StepResult run(ImageBatch batch, DequantizationNoise noise, AdamOptions options, double clip_norm);

  Adam& adam() { return adam_; }
  const Adam& adam() const { return adam_; }

  /// Of the last run, before its update; valid until the next.
  std::span<const double> log_prob() const { return {tape_.value(pass_.log_prob).data<double>(), std::size_t(n_)}; }
  Tensor final_latent() const { return tape_.value(pass_.z); }

 private:
  /// Fills the gradients; returns the loss.
  double forward_backward(ImageBatch batch, DequantizationNoise noise);
  std::string locate_non_finite_gradient(ImageBatch batch, DequantizationNoise noise);

  Flow& flow_;
  Adam adam_;
  Tape tape_;
  Flow::Pass pass_;
  int n_ = 0;
};

}  // namespace flowsmith
