// One step of maximum-likelihood training: forward, backward, clip, Adam.
#pragma once

#include <deque>

#include "engine/adam.h"
#include "engine/readback.h"
#include "engine/replay.h"
#include "engine/staging.h"
#include "models/flow.h"

namespace flowsmith::core {

struct StepResult {
  double loss = 0;           ///< mean over the batch in the unit of the flow (Flow::unit), before the update
  double gradient_norm = 0;  ///< before clipping
};

class TrainingStep {
 public:
  /// Holds on to the flow, which must outlive this and stay where it is. With `recompute` couplings keep nothing for
  /// backward and rebuild their input there (models/bijectors/coupling.cpp): less memory, a third more work.
  explicit TrainingStep(Flow& flow, bool recompute = false);

  /// Hands over the batch of the next step; what it points to must stay until that is finished. The copy to a GPU runs
  /// beside steps under way.
  void stage(Batch batch, DequantizationNoise noise);
  /// Puts a step on the batch that was staged last on its way: at most kUnderWay at a time, so that a GPU has its next
  /// step before the host has read how the last one went. Throws OutOfMemory, with the batch size that would fit, if
  /// there is no room for it.
  void launch(AdamOptions options, double clip_norm);
  /// Waits for the first step under way. If its loss or gradient is not finite, throws Error that names the step, the
  /// layer and the image; the weights are left as they were, and those launched behind it have changed nothing.
  StepResult finish();
  static constexpr int kUnderWay = 2;
  int under_way() const { return int(under_way_.size()); }

  /// launch() and finish().
  StepResult run(AdamOptions options, double clip_norm);

  /// Gives the memory of activations and gradients back to the system until the next run.
  void give_back();

  Adam& adam() { return adam_; }
  const Adam& adam() const { return adam_; }

  /// Of the last step, before its update; valid until the next.
  std::vector<double> log_prob() const { return tape_.read<double>(tape_.value(pass_.log_prob)); }
  /// Of the last step, where it recomputed; 0 otherwise. Waits for the device.
  double drift() const { return largest_drift(pass_.rebuilt, flow_.device()); }
  /// Shape and values of the final latent of the last step, which must not have recomputed: that writes over it.
  MapShape final_latent_shape() const { return tape_.value(pass_.z).map(); }
  std::vector<double> final_latent() const { return to_doubles(tape_.value(pass_.z), flow_.device()); }

  /// Kernels, copies and fills of the captured step; 0 where nothing is captured.
  std::size_t graph_nodes() const { return replay_.node_count(); }

 private:
  struct NoisyBatch {
    Batch examples;
    DequantizationNoise noise;
  };

  /// Memory for the inputs of such a batch, if the last one was of another kind.
  void lay_out(int n, bool given_noise);
  /// n examples of a batch, from the first-th on, into that memory.
  void upload(const NoisyBatch& batch, int first, int n);
  /// `batch_statistics` as Flow::forward has it: steps take them, and an example alone has none.
  void forward_backward(bool batch_statistics = true);
  [[noreturn]] void fail_for_memory(const std::string& why);
  /// A batch for which there is memory, with some to spare, found by trying; 0 if not even one image has any.
  int largest_batch(const NoisyBatch& batch);
  std::string locate_non_finite_gradient(const NoisyBatch& batch);

  Flow& flow_;
  const DType path_;  ///< the networks' precision is enough for z, but what must be undone needs f64
  Adam adam_;
  Arena inputs_;
  BatchTensors batch_;
  std::unique_ptr<Staging> staging_;
  NoisyBatch staged_;
  std::deque<NoisyBatch> under_way_;
  Readback readbacks_[kUnderWay];  ///< loss and squared gradient norm of a step
  int next_readback_ = 0;
  Tape tape_;
  Flow::Pass pass_;
  Var loss_;
  Replay replay_;
};

}  // namespace flowsmith::core
