// The tutorial's network: a gated residual net (Flow++, Ho et al. 2019, as the tutorial simplifies it).
//
//   conv3x3 (c + image channels -> hidden), blocks x [gated block, channel layer norm], ELU-concat,
//   conv3x3 (2*hidden -> outputs * c)
//
// Initial values are those of PyTorch's Conv2d, U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases,
// except that the last convolution is zero: a new coupling is the identity.
#include "models/conditioners/conv_layer.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

struct Block {
  ConvLayer conv3, conv1;
  int gamma, beta;
};

class GatedResnet : public Conditioner {
 public:
  GatedResnet(const Settings& settings, Builder& builder, int outputs)
      : hidden_(settings.integer("hidden")),
        channels_(builder.shape.c),
        concat_elu_input_(settings.text("edition") != "2022"),
        norm_eps_(settings.text("edition") == "jax" ? 1e-6 : kLayerNormEps),
        blocks_(settings.integer("blocks")) {
    Parameters& parameters = builder.parameters;
    // The numbers in the names are the positions in the tutorial's nn.Sequential.
    const auto layer = [&](int i) { return builder.prefix + "nn." + std::to_string(i); };
    const int hidden = hidden_;
    first_ = ConvLayer(parameters, layer(0), {channels_ + builder.image_channels, hidden, 3});
    for (int i = 0; i < int(blocks_.size()); ++i) {
      const std::string block = layer(1 + 2 * i) + ".net.", norm = layer(2 + 2 * i);
      const int elu = concat_elu_input_ ? 1 : 0;  // the leading ELU-concat takes a place and doubles the channels
      blocks_[i].conv3 = ConvLayer(parameters, block + std::to_string(elu), {hidden << elu, hidden, 3});
      blocks_[i].conv1 = ConvLayer(parameters, block + std::to_string(elu + 2), {2 * hidden, 2 * hidden, 1});
      const bool new_names = concat_elu_input_;
      const auto norm_shape =
          new_names ? std::vector<std::int64_t>{1, hidden, 1, 1} : std::vector<std::int64_t>{hidden};
      blocks_[i].gamma = parameters.add(norm + (new_names ? ".gamma" : ".layer_norm.weight"), norm_shape,
                                        ParameterLayout::kPlain, {1, 0});
      blocks_[i].beta = parameters.add(norm + (new_names ? ".beta" : ".layer_norm.bias"), norm_shape,
                                       ParameterLayout::kPlain, {0, 0});
    }
    last_ = ConvLayer(parameters, layer(2 + 2 * int(blocks_.size())), {2 * hidden, outputs * channels_, 3},
                      ConvLayer::Init::kZero);
  }

  Var forward(FlowPass& pass, Var input, Mask mask) const override {
    const ParameterVars& p = pass.parameters;
    const ConvMask z{mask, channels_};
    Var x = first_(pass, input, false, z);
    for (const Block& b : blocks_) {
      x = gated_block(
          pass.tape, x,
          {p[b.conv3.weight()], p[b.conv3.bias()], p[b.conv1.weight()], p[b.conv1.bias()], p[b.gamma], p[b.beta]},
          concat_elu_input_, norm_eps_);
    }
    return last_(pass, x, true, {}, z);
  }

  std::string description() const override { return "hidden " + std::to_string(hidden_); }

 private:
  int hidden_, channels_;
  bool concat_elu_input_;
  double norm_eps_;
  ConvLayer first_, last_;
  std::vector<Block> blocks_;
};

}  // namespace

ConditionerType gated_resnet_type() {
  return {
      {"gated_resnet",
       "gated residual net with channel layer norms, the tutorial's",
       {integer_key("hidden", 32, 1, 4096, "channels inside"), integer_key("blocks", 3, 0, 64, "gated blocks"),
        choice_key("edition", "2024", {"2024", "2022", "jax"},
                   "of the tutorial: whether blocks begin with ELU-concat (2024 and jax) or with their convolution; "
                   "and the layer norms' epsilon, 1e-5, or 1e-6 (jax)")}},
      [](const Settings& settings, Builder& builder, int outputs) -> std::unique_ptr<Conditioner> {
        return std::make_unique<GatedResnet>(settings, builder, outputs);
      }};
}

}  // namespace flowsmith::core
