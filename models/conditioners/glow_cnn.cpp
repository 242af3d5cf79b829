// Glow's network (Kingma and Dhariwal 2018, section 4 and appendix B):
//
//   x = relu(actnorm(conv3x3(input)));  x = relu(actnorm(conv1x1(x)));  output = conv3x3(x) * exp(3 log_scale)
//
// The bias of a convolution in front of an actnorm is the actnorm's shift. The last convolution starts at zero, weight,
// bias and log_scale: a new coupling is the identity.
#include "models/bijectors/channel_scale.h"
#include "models/conditioners/conv_layer.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

constexpr double kLogScaleFactor = 3;

/// conv(x) * exp(factor * log_scale), one log_scale per output channel. What is multiplied are weight and bias, which
/// are smaller than the map; of relu(actnorm(conv(x))) the bias is the actnorm's shift.
class ScaledConv {
 public:
  ScaledConv() = default;
  ScaledConv(Parameters& parameters, const std::string& name, ConvLayer::Size size, ConvLayer::Init init, double factor)
      : conv_(parameters, name, size, init),
        scale_(parameters, name + ".", {size.c_out, false, factor}),
        c_out_(size.c_out) {}

  Var operator()(const FlowPass& pass, Var x, ConvMask x_mask, ConvMask y_mask, Activation activation) const {
    Tape& tape = pass.tape;
    const Var bias = tape.reshape(pass.parameters[conv_.bias()], MapShape{1, 1, 1, c_out_});
    return conv(tape, x, scale_.forward(pass, pass.parameters[conv_.weight()], Var{}),
                tape.reshape(scale_.forward(pass, bias, Var{}), Shape{c_out_}), false, x_mask, y_mask, activation);
  }
  void fit(const FlowPass& pass, Parameters& parameters, Var x, ConvMask x_mask = {}) const {
    scale_.fit(pass, parameters, conv_(pass, x, false, x_mask), conv_.bias());
  }

 private:
  ConvLayer conv_;
  ChannelScale scale_;
  int c_out_ = 0;
};

class GlowCnn : public Conditioner {
 public:
  GlowCnn(const Settings& settings, Builder& builder, int outputs)
      : hidden_(settings.integer("hidden")), channels_(builder.shape.c) {
    Parameters& p = builder.parameters;
    const std::string& name = builder.prefix;
    using Init = ConvLayer::Init;
    first_ = ScaledConv(p, name + "first", {channels_ + builder.image_channels, hidden_, 3}, Init::kNormal, 1);
    middle_ = ScaledConv(p, name + "middle", {hidden_, hidden_, 1}, Init::kNormal, 1);
    last_ = ScaledConv(p, name + "last", {hidden_, outputs * channels_, 3}, Init::kZero, kLogScaleFactor);
  }

  Var forward(FlowPass& pass, Var input, Mask mask) const override {
    const ConvMask z{mask, channels_};
    const Var x = middle_(pass, first_(pass, input, z, {}, Activation::kRelu), {}, {}, Activation::kRelu);
    return last_(pass, x, {}, z, Activation::kNone);
  }

  Var initialize(FlowPass& pass, Parameters& parameters, Var input, Mask mask) const override {
    const ConvMask z{mask, channels_};
    first_.fit(pass, parameters, input, z);
    middle_.fit(pass, parameters, first_(pass, input, z, {}, Activation::kRelu));
    return forward(pass, input, mask);
  }
  bool needs_data() const override { return true; }

  std::string description() const override { return "Glow's net, hidden " + std::to_string(hidden_); }

 private:
  int hidden_, channels_;
  ScaledConv first_, middle_, last_;
};

/// conv3x3(input) * exp(3 log_scale), zero at first: Glow's learned prior.
class GlowPrior : public Conditioner {
 public:
  GlowPrior(Builder& builder, int outputs) : channels_(builder.shape.c) {
    conv_ = ScaledConv(builder.parameters, builder.prefix + "conv",
                       {channels_ + builder.image_channels, outputs * channels_, 3}, ConvLayer::Init::kZero,
                       kLogScaleFactor);
  }

  Var forward(FlowPass& pass, Var input, Mask mask) const override {
    const ConvMask z{mask, channels_};
    return conv_(pass, input, z, z, Activation::kNone);
  }
  std::string description() const override { return "one convolution"; }

 private:
  int channels_;
  ScaledConv conv_;
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

}  // namespace flowsmith::core
