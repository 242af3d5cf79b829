// One step of maximum-likelihood training: forward, backward, clip, Adam.
#pragma once

#include "engine/adam.h"
#include "engine/replay.h"
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

  /// Runs one step. Throws OutOfMemory, with the batch size that would fit, if there is no room for it. If the loss or
  /// the gradient is not finite, throws Error that names the step, the layer and the image, and leaves the weights as
  /// they were.
  StepResult run(ImageBatch batch, DequantizationNoise noise, AdamOptions options, double clip_norm);

  Adam& adam() { return adam_; }
  const Adam& adam() const { return adam_; }

  /// Of the last run, before its update; valid until the next.
  std::vector<double> log_prob() const { return tape_.read<double>(tape_.value(pass_.log_prob)); }
  /// Shape and values of the final latent of the last run.
  MapShape final_latent_shape() const { return tape_.value(pass_.z).map(); }
  std::vector<double> final_latent() const { return to_doubles(tape_.value(pass_.z), flow_.device()); }

  /// Kernels, copies and fills of the captured step; 0 where nothing is captured.
  std::size_t graph_nodes() const { return replay_.node_count(); }

 private:
  /// Memory for the inputs of such a batch, if the last one was of another kind.
  void lay_out(int n, bool given_noise);
  void forward_backward();
  /// The largest batch for which there is memory, measured with batches of one and two images; 0 if there is none.
  int largest_batch(ImageBatch batch, DequantizationNoise noise);
  std::string locate_non_finite_gradient(ImageBatch batch, DequantizationNoise noise);

  Flow& flow_;
  Adam adam_;
  Arena inputs_;
  BatchTensors batch_;
  Tape tape_;
  Flow::Pass pass_;
  Var loss_;
  Replay replay_;
};

}  // namespace flowsmith
