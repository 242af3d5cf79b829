// Adam with gradient clipping over the flat span of a flow's parameters.
#pragma once

#include "engine/parameters.h"
#include "kernels/optimizer.h"

namespace flowsmith {

class Adam {
 public:
  explicit Adam(const Parameters& parameters);

  /// Norm of the whole gradient; not finite if any element is not.
  double gradient_norm() const;

  /// One step on the parameters' gradients, scaled so that their norm is at most max_norm (<= 0: as they
  /// are). `norm` is gradient_norm(), which must be finite.
  void step(double norm, double max_norm, AdamOptions options);

  std::int64_t step_count() const { return step_count_; }
  void set_step_count(std::int64_t count) { step_count_ = count; }
  Tensor first_moment() const { return m_; }  ///< flat span like Parameters::values()
  Tensor second_moment() const { return v_; }

 private:
  const Parameters& parameters_;
  Arena arena_;
  Tensor m_, v_;
  std::int64_t step_count_ = 0;
};

}  // namespace flowsmith
