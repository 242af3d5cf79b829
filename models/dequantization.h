// The first layer of every flow: 8-bit images to the real line, with uniform noise or, in variational
// dequantization, with noise shaped by a flow of its own that sees the image (Flow++, Ho et al. 2019).
// Formulas: kernels/dequantization.h, docs/math/variational_dequantization.md.
#pragma once

#include <memory>
#include <vector>

#include "models/coupling_layer.h"

namespace flowsmith {

class Dequantization {
 public:
  /// Uniform.
  Dequantization() = default;
  /// Variational, around these couplings of one channel that see an image of one channel.
  explicit Dequantization(std::vector<std::unique_ptr<CouplingLayer>> couplings) : couplings_(std::move(couplings)) {}

  /// images u8 (n,h,w,1) and uniform noise u of the same shape -> z of the type of u.
  Var forward(FlowPass& pass, Tensor images, Var u) const;

  bool variational() const { return !couplings_.empty(); }
  const std::vector<std::unique_ptr<CouplingLayer>>& couplings() const { return couplings_; }
  std::string description() const;

 private:
  std::vector<std::unique_ptr<CouplingLayer>> couplings_;
};

}  // namespace flowsmith
