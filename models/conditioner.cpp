#include "models/conditioner.h"

#include <cmath>

namespace flowsmith {
namespace {

struct ConvSize {
  int c_in, c_out, kernel;
};

/// Adds weight and bias under `name` and returns the number of the weight; the bias is the next one.
int add_conv(Parameters& parameters, const std::string& name, ConvSize size, bool zero) {
  const double bound = zero ? 0 : 1 / std::sqrt(double(size.c_in) * size.kernel * size.kernel);
  const int weight = parameters.add(name + ".weight", {size.c_out, size.c_in, size.kernel, size.kernel},
                                    ParameterLayout::kConvWeight, {0, bound});
  parameters.add(name + ".bias", {size.c_out}, ParameterLayout::kPlain, {0, bound});
  return weight;
}

}  // namespace

Conditioner::Conditioner(Parameters& parameters, const std::string& prefix, int channels, int image_channels,
                         int hidden, Edition edition)
    : hidden_(hidden), channels_(channels), concat_elu_input_(edition == Edition::k2024) {
  // The numbers in the names are the positions in the tutorial's nn.Sequential.
  const auto layer = [&](int i) { return prefix + "nn." + std::to_string(i); };
  const auto add = [&](const std::string& name, ConvSize size, bool zero = false) {
    const int weight = add_conv(parameters, name, size, zero);
    return Conv{weight, weight + 1};
  };
  first_ = add(layer(0), {channels + image_channels, hidden, 3});
  for (int i = 0; i < kBlocks; ++i) {
    const std::string block = layer(1 + 2 * i) + ".net.", norm = layer(2 + 2 * i);
    const int elu = concat_elu_input_ ? 1 : 0;  // the leading ELU-concat takes a place and doubles the channels
    blocks_[i].conv3 = add(block + std::to_string(elu), {hidden << elu, hidden, 3});
    blocks_[i].conv1 = add(block + std::to_string(elu + 2), {2 * hidden, 2 * hidden, 1});
    const bool new_names = edition == Edition::k2024;
    const auto norm_shape = new_names ? std::vector<std::int64_t>{1, hidden, 1, 1} : std::vector<std::int64_t>{hidden};
    blocks_[i].gamma = parameters.add(norm + (new_names ? ".gamma" : ".layer_norm.weight"), norm_shape,
                                      ParameterLayout::kPlain, {1, 0});
    blocks_[i].beta =
        parameters.add(norm + (new_names ? ".beta" : ".layer_norm.bias"), norm_shape, ParameterLayout::kPlain, {0, 0});
  }
  last_ = add(layer(2 + 2 * kBlocks), {2 * hidden, 2 * channels, 3}, true);
}

Var Conditioner::operator()(const FlowPass& pass, Var input, Mask mask) const {
  const ParameterVars& p = pass.parameters;
  const ConvMask z{mask, channels_};
  Var x = conv(pass.tape, input, p[first_.weight], p[first_.bias], false, z);
  for (const Block& b : blocks_) {
    x = gated_block(pass.tape, x,
                    {p[b.conv3.weight], p[b.conv3.bias], p[b.conv1.weight], p[b.conv1.bias], p[b.gamma], p[b.beta]},
                    concat_elu_input_);
  }
  return conv(pass.tape, x, p[last_.weight], p[last_.bias], true, {}, z);
}

}  // namespace flowsmith
