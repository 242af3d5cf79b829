// Adam with gradient clipping over the flat span of a flow's parameters.
#pragma once

#include "engine/device_memory.h"
#include "engine/parameters.h"
#include "kernels/optimizer.h"

namespace flowsmith {

class Adam {
 public:
  explicit Adam(const Parameters& parameters);

  /// Gives the next step its settings. max_norm <= 0: gradients as they are.
  void prepare(AdamOptions options, double max_norm);

  /// One step on the parameters' gradients, scaled so that their norm is at most max_norm. Nothing changes if `loss`, a
  /// scalar f64 of the device, or the gradient is not finite. On a GPU the step is only put on the stream.
  void step(const Tensor& loss);

  /// Waits for the step and returns the norm of its gradient before clipping. `loss` is the value that step()
  /// saw: a step that changed nothing is not counted.
  double finish(double loss);

  std::int64_t step_count() const { return step_count_; }
  void set_step_count(std::int64_t count) { step_count_ = count; }
  Tensor first_moment() const { return m_; }  ///< flat span like Parameters::values()
  Tensor second_moment() const { return v_; }

 private:
  const Parameters& parameters_;
  Arena arena_;
  Tensor m_, v_;
  Tensor squared_norm_;  ///< f64, of the last step
  Result norm_result_;   ///< the same, on the host
  Tensor inputs_;        ///< the bytes of an AdamInputs: memory, because a captured step cannot take new arguments
  std::int64_t step_count_ = 0;
};

}  // namespace flowsmith
