// What the dequantizations of 8-bit images have in common: their inverse.
#pragma once

#include "kernels/dequantization.h"
#include "models/component.h"
#include "models/input/input_layer.h"

namespace flowsmith::core {

class ImageInput : public InputLayer {
 public:
  ImageInput(const Settings& settings, const Builder& builder)
      : dequantizer_{builder.levels, settings.number("alpha")} {}

  void inverse(FlowPass& pass, Var z, const Tensor& data) const override;

 protected:
  Dequantizer dequantizer_;
};

/// The key that all of them have.
Key alpha_key();

}  // namespace flowsmith::core
