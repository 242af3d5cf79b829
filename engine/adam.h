// Adam with gradient clipping over the flat span of a flow's parameters.
#pragma once

#include "engine/device_memory.h"
#include "engine/parameters.h"
#include "kernels/optimizer.h"

namespace flowsmith::core {

class Adam {
 public:
  explicit Adam(const Parameters& parameters);

  /// Gives the step that comes next its number, from 1, and settings. max_norm <= 0: gradients as they are.
  void prepare(std::int64_t step, AdamOptions options, double max_norm);

  /// One step on the parameters' gradients, scaled so that their norm is at most max_norm. Nothing changes if `loss`, a
  /// scalar f64 of the device, or the gradient is not finite, or if the step before it changed nothing. On a GPU the
  /// step is only put on the stream.
  void step(const Tensor& loss);

  /// f64: that of the last step's gradient before clipping, on the device.
  const Tensor& squared_norm() const { return squared_norm_; }

  /// Steps that the host knows to have changed the parameters: it calls count_step() for each.
  std::int64_t step_count() const { return step_count_; }
  void count_step() { ++step_count_; }
  void set_step_count(std::int64_t count);
  Tensor first_moment() const { return m_; }  ///< flat span like Parameters::values()
  Tensor second_moment() const { return v_; }

 private:
  const Parameters& parameters_;
  Arena arena_;
  Tensor m_, v_;
  Tensor squared_norm_;
  Tensor inputs_;       ///< the bytes of an AdamInputs: memory, because a captured step cannot take new arguments
  Tensor steps_taken_;  ///< the bytes of an int64: the device's own count, so that it need not wait for the host's
  std::int64_t step_count_ = 0;
};

}  // namespace flowsmith::core
