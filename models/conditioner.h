// The network that predicts scale and shift of a coupling: a gated residual net (Flow++, Ho et al. 2019, as
// the tutorial simplifies it).
//
//   conv3x3 (c + image channels -> hidden), 3 x [gated block, channel layer norm], ELU-concat, conv3x3 (2*hidden -> 2c)
//
// Initial values are those of PyTorch's Conv2d, U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases,
// except that the last convolution is zero: a new coupling is the identity.
#pragma once

#include "models/bijector.h"
#include "models/model_spec.h"

namespace flowsmith {

class Conditioner {
 public:
  static constexpr int kBlocks = 3;

  /// Adds its parameters under `prefix`, e.g. "flows.1.network.", for a coupling of `channels` channels.
  Conditioner(Parameters& parameters, const std::string& prefix, int channels, int image_channels, int hidden,
              Edition edition);

  /// s_raw and t_raw from conditioner_input() with this mask. Where the mask is 1 they are unspecified: nobody needs
  /// them.
  Var operator()(const FlowPass& pass, Var input, Mask mask) const;

  int hidden() const { return hidden_; }

 private:
  struct Conv {
    int weight, bias;
  };
  struct Block {
    Conv conv3, conv1;
    int gamma, beta;
  };

  int hidden_, channels_;
  bool concat_elu_input_;
  Conv first_, last_;
  Block blocks_[kBlocks];
};

}  // namespace flowsmith
