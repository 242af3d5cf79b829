// The first layer of every flow: 8-bit images to the real line, with uniform noise or, in variational
// dequantization, with noise shaped by a flow of its own that sees the image (Flow++, Ho et al. 2019).
// Formulas: kernels/dequantization.h, docs/math/variational_dequantization.md.
#pragma once

#include <memory>
#include <vector>

#include "models/coupling_layer.h"

namespace flowsmith {

/// A batch and its noise in the memory of a flow's device: a pass that reads them can be captured and replayed.
struct BatchTensors {
  Tensor images;  ///< u8 (n,h,w,1)
  Tensor index;   ///< u32 (n)
  Tensor stream;  ///< the bytes of a NoiseStream
  Tensor values;  ///< given noise (n,h,w,1) in the type of the path; none: drawn from the stream
  Tensor block;   ///< u8: the memory in which all of them lie, so that one copy brings a batch
};

class Dequantization {
 public:
  /// Uniform.
  Dequantization() = default;
  /// Variational, around these couplings of one channel that see an image of one channel.
  explicit Dequantization(std::vector<std::unique_ptr<CouplingLayer>> couplings) : couplings_(std::move(couplings)) {}

  /// images u8 (n,h,w,1) and uniform noise u of the same shape -> z of the type of u.
  Var forward(FlowPass& pass, Tensor images, Var u) const;
  /// The same with the noise of the batch; z has the type `path`.
  Var forward(FlowPass& pass, const BatchTensors& batch, DType path) const;

  bool variational() const { return !couplings_.empty(); }
  const std::vector<std::unique_ptr<CouplingLayer>>& couplings() const { return couplings_; }
  std::string description() const;

 private:
  Var shape_noise(FlowPass& pass, Tensor images, Var v) const;

  std::vector<std::unique_ptr<CouplingLayer>> couplings_;
};

}  // namespace flowsmith
