// The network of a coupling: it sees what the mask lets through and predicts the parameters of the transformer.
#pragma once

#include "models/bijectors/bijector.h"

namespace flowsmith::core {

class Conditioner {
 public:
  virtual ~Conditioner() = default;

  /// `input` (n,h,w,c+image_channels) is that of conditioner_input() with this mask; the result has `outputs` channels
  /// for each of the c channels of z: all first parameters, then all second ones. Where the mask is 1 they are
  /// unspecified: nobody needs them.
  virtual Var forward(FlowPass& pass, Var input, Mask mask) const = 0;

  /// As forward, for the first examples that a new flow sees (Bijector::initialize).
  virtual Var initialize(FlowPass& pass, Parameters&, Var input, Mask mask) const { return forward(pass, input, mask); }
  virtual bool needs_data() const { return false; }
  virtual bool uses_batch_statistics() const { return false; }
  virtual void weights_changed(const Parameters&) {}

  virtual std::string description() const = 0;
};

}  // namespace flowsmith::core
