// What the layers of a flow have in common: a bijection of feature maps with a log-determinant.
#pragma once

#include <string>
#include <vector>

#include "autograd/ops.h"
#include "engine/parameters.h"

namespace flowsmith {

/// The parameters of a flow as variables of one tape.
class ParameterVars {
 public:
  ParameterVars(Tape& tape, const Parameters& parameters);
  Var operator[](int i) const { return {first_ + i}; }

 private:
  int first_ = 0;
};

/// The input of consecutive couplings that worked in place (Tape::recompute): a copy, and the memory in which backward
/// rebuilds it.
struct RebuiltInput {
  Tensor kept, rebuilt;
};

/// One pass through a flow, in either direction.
struct FlowPass {
  Tape& tape;
  const ParameterVars& parameters;
  DType network_type;           ///< of the conditioners: f32, or f64 for gradient checks
  Var logdet;                   ///< (n) f64, accumulated by the forward direction
  std::vector<Tensor> latents;  ///< one for each split, in the order of the layers; see below
  bool keep_latents = false;    ///< the forward direction fills `latents`
  // The inverse direction reads `latents` and needs them all.
  std::vector<RebuiltInput> rebuilt = {};  ///< filled by the forward direction while the tape says recompute()
};

class Bijector {
 public:
  virtual ~Bijector() = default;

  /// x -> z; adds its log-determinant to pass.logdet.
  virtual Var forward(FlowPass& pass, Var x) const = 0;
  /// z -> x; leaves pass.logdet alone.
  virtual Var inverse(FlowPass& pass, Var z) const = 0;

  virtual MapShape output_shape(MapShape input) const = 0;
  virtual std::string description() const = 0;
};

}  // namespace flowsmith
