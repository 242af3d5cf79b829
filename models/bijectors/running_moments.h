// Mean and variance per channel: those of the batch in training, and running ones, which follow them from step to step
// and are kept with the weights.
#pragma once

#include "models/bijectors/bijector.h"

namespace flowsmith::core {

class RunningMoments {
 public:
  RunningMoments() = default;
  /// Adds the states PREFIXrunning_mean, zeros, and PREFIXrunning_var, ones.
  RunningMoments(Parameters& parameters, const std::string& prefix, int channels, double momentum);

  /// Memory for the moments of this batch, which the training step lets the running ones follow (FlowPass::running).
  ChannelMoments of_batch(FlowPass& pass, Var x) const;
  ChannelMoments running() const { return running_; }
  /// Throws Error if a variance is below 0.
  void weights_changed(const Parameters& parameters);

 private:
  int mean_ = -1;  ///< the state; the variance is the next one
  double momentum_ = 0;
  std::shared_ptr<Arena> memory_;
  ChannelMoments running_, batch_;
};

}  // namespace flowsmith::core
