// Glow's network (Kingma and Dhariwal 2018, section 4 and appendix B):
//
//   x = relu(actnorm(conv3x3(input)));  x = relu(actnorm(conv1x1(x)));  output = conv3x3(x) * exp(3 log_scale)
//
// The bias of a convolution in front of an actnorm is the actnorm's shift. The last convolution starts at zero, weight,
// bias and log_scale: a new coupling is the identity.
#include "models/bijectors/channel_scale.h"
#include "models/conditioners/conv_layer.h"
#include "models/registry.h"

namespace flowsmith {
namespace {

constexpr double kLogScaleFactor = 3;

/// relu(actnorm(conv(x))).
class NormedConv {
 public:
  NormedConv() = default;
  NormedConv(Parameters& parameters, const std::string& name, ConvLayer::Size size)
      : conv_(parameters, name, size, ConvLayer::Init::kNormal), scale_(parameters, name + ".", {size.c_out, false}) {}

  Var operator()(const FlowPass& pass, Var x, ConvMask x_mask = {}) const {
    return activation(pass.tape, scale_.forward(pass, conv_(pass, x, false, x_mask), Var{}), Activation::kRelu);
  }
  void fit(const FlowPass& pass, Parameters& parameters, Var x, ConvMask x_mask = {}) const {
    scale_.fit(pass, parameters, conv_(pass, x, false, x_mask), conv_.bias());
  }

 private:
  ConvLayer conv_;
  ChannelScale scale_;
};

class GlowCnn : public Conditioner {
 public:
  GlowCnn(const Settings& settings, Builder& builder, int outputs)
      : hidden_(settings.integer("hidden")), channels_(builder.shape.c) {
    Parameters& p = builder.parameters;
    const std::string& name = builder.prefix;
    first_ = NormedConv(p, name + "first", {channels_ + builder.image_channels, hidden_, 3});
    middle_ = NormedConv(p, name + "middle", {hidden_, hidden_, 1});
    last_ = ConvLayer(p, name + "last", {hidden_, outputs * channels_, 3}, ConvLayer::Init::kZero);
    scale_ = ChannelScale(p, name + "last.", {outputs * channels_, false, kLogScaleFactor});
  }

  Var forward(FlowPass& pass, Var input, Mask mask) const override {
    const ConvMask z{mask, channels_};
    const Var x = middle_(pass, first_(pass, input, z));
    return scale_.forward(pass, last_(pass, x, false, {}, z), Var{});
  }

  Var initialize(FlowPass& pass, Parameters& parameters, Var input, Mask mask) const override {
    const ConvMask z{mask, channels_};
    first_.fit(pass, parameters, input, z);
    middle_.fit(pass, parameters, first_(pass, input, z));
    return forward(pass, input, mask);
  }
  bool needs_data() const override { return true; }

  std::string description() const override { return "Glow's net, hidden " + std::to_string(hidden_); }

 private:
  int hidden_, channels_;
  NormedConv first_, middle_;
  ConvLayer last_;
  ChannelScale scale_;
};

/// conv3x3(input) * exp(3 log_scale), zero at first: Glow's learned prior.
class GlowPrior : public Conditioner {
 public:
  GlowPrior(Builder& builder, int outputs) : channels_(builder.shape.c) {
    const int c_out = outputs * channels_;
    conv_ = ConvLayer(builder.parameters, builder.prefix + "conv", {channels_ + builder.image_channels, c_out, 3},
                      ConvLayer::Init::kZero);
    scale_ = ChannelScale(builder.parameters, builder.prefix + "conv.", {c_out, false, kLogScaleFactor});
  }

  Var forward(FlowPass& pass, Var input, Mask mask) const override {
    const ConvMask z{mask, channels_};
    return scale_.forward(pass, conv_(pass, input, false, z, z), Var{});
  }
  std::string description() const override { return "one convolution"; }

 private:
  int channels_;
  ConvLayer conv_;
  ChannelScale scale_;
};

}  // namespace

ConditionerType glow_prior_type() {
  return {{"glow_prior", "one 3x3 convolution that starts at zero", {}},
          [](const Settings&, Builder& builder, int outputs) -> std::unique_ptr<Conditioner> {
            return std::make_unique<GlowPrior>(builder, outputs);
          }};
}

ConditionerType glow_cnn_type() {
  return {{"glow_cnn",
           "Glow's three convolutions, 3x3, 1x1 and 3x3, with actnorm",
           {integer_key("hidden", 64, 1, 4096, "channels inside")}},
          [](const Settings& settings, Builder& builder, int outputs) -> std::unique_ptr<Conditioner> {
            return std::make_unique<GlowCnn>(settings, builder, outputs);
          }};
}

}  // namespace flowsmith
