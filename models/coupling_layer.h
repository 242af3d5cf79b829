// An affine coupling layer: mask, conditioner, affine transform (RealNVP, Dinh et al. 2017, section 3).
// Formulas: kernels/coupling.h, docs/math/coupling.md.
//
// While the tape says recompute(), a coupling works in place as it does when nothing is recorded, and keeps nothing. In
// backward it has its output. The part that conditions the network is a copy of the input: the network runs again on
// it, this time recorded, the inverse rebuilds the rest of the input up to rounding, and backward goes through that one
// network and gives its memory back. So memory does not grow with the number of couplings. Rounding adds up from the
// last coupling in place to the first (docs/math/coupling.md): largest_drift() measures it.
#pragma once

#include "models/conditioner.h"

namespace flowsmith {

struct CouplingOptions {
  Mask mask;
  int channels = 1;        ///< of z
  int image_channels = 0;  ///< of an image that conditions the network, in variational dequantization
  int hidden = 32;
  Edition edition = Edition::k2024;
};

class CouplingLayer : public Bijector {
 public:
  /// Adds its parameters under `prefix`, e.g. "flows.1."
  CouplingLayer(Parameters& parameters, const std::string& prefix, CouplingOptions options);

  Var forward(FlowPass& pass, Var x) const override { return forward(pass, x, Tensor{}); }
  /// As forward, with the image (u8) that the network also sees.
  Var forward(FlowPass& pass, Var x, Tensor image) const;
  Var inverse(FlowPass& pass, Var z) const override;

  MapShape output_shape(MapShape input) const override { return input; }
  std::string description() const override;

  Mask mask() const { return options_.mask; }
  std::string mask_name() const { return prefix_ + "mask"; }  ///< of the buffer in the tutorial's state_dict

 private:
  struct Rebuild;
  Var transform(FlowPass& pass, Var x, Tensor image) const;

  std::string prefix_;
  CouplingOptions options_;
  int scaling_factor_;
  Conditioner network_;
};

/// The largest |rebuilt - kept| of all elements, after backward: how far rounding carried what couplings were rebuilt
/// from, and so what their gradients were computed at. 0 if there is none. Waits for the device.
double largest_drift(const std::vector<RebuiltInput>& inputs, Device device);

}  // namespace flowsmith
