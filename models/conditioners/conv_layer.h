// A convolution and its parameters, as networks are made of them.
#pragma once

#include "models/conditioners/conditioner.h"

namespace flowsmith::core {

class ConvLayer {
 public:
  struct Size {
    int c_in, c_out, kernel;
  };
  enum class Init {
    kPytorch,  ///< U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as PyTorch's Conv2d
    kNormal,   ///< weights N(0, 0.05^2) and no bias, as Glow
    kZero,
  };

  ConvLayer() = default;
  /// Adds NAME.weight and NAME.bias.
  ConvLayer(Parameters& parameters, const std::string& name, Size size, Init init = Init::kPytorch);

  /// conv() of autograd/ops.h.
  Var operator()(const FlowPass& pass, Var x, bool concat_elu = false, ConvMask x_mask = {},
                 ConvMask y_mask = {}) const {
    return conv(pass.tape, x, pass.parameters[weight()], pass.parameters[bias()], concat_elu, x_mask, y_mask);
  }

  int weight() const { return weight_; }
  int bias() const { return weight_ + 1; }

 private:
  int weight_ = -1;
};

}  // namespace flowsmith::core
