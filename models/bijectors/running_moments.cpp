#include "models/bijectors/running_moments.h"

#include <algorithm>

namespace flowsmith::core {

RunningMoments::RunningMoments(Parameters& parameters, const std::string& prefix, int channels, double momentum)
    : momentum_(momentum), memory_(std::make_shared<Arena>(parameters.device())) {
  const auto constant = [channels](double value) {
    return [channels, value](std::uint64_t) { return std::vector<double>(channels, value); };
  };
  mean_ = parameters.add_state(prefix + "running_mean", {channels}, constant(0));
  parameters.add_state(prefix + "running_var", {channels}, constant(1));
  batch_ = {memory_->tensor(DType::kF64, Shape{channels}), memory_->tensor(DType::kF64, Shape{channels})};
}

ChannelMoments RunningMoments::of_batch(FlowPass& pass, Var x) const {
  const MapShape map = pass.tape.value(x).map();
  if (pass.running) pass.running->push_back({running_, batch_, map.n * map.pixels(), momentum_});
  return batch_;
}

void RunningMoments::weights_changed(const Parameters& parameters) {
  running_ = {parameters.state_values(mean_), parameters.state_values(mean_ + 1)};
  const std::vector<double> variances = download<double>(parameters.device(), running_.var);
  if (std::any_of(variances.begin(), variances.end(), [](double v) { return v < 0; })) {
    throw Error("a running variance is below 0: the weights are damaged");
  }
}

}  // namespace flowsmith::core
