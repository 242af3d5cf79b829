// RealNVP's network (Dinh et al. 2017, sections 3.3 and 4.1): a residual net of 3x3 convolutions with weight
// normalisation (Salimans and Kingma 2016) and, inside, batch normalisation.
//
//   x = conv3x3(input)
//   blocks x: x = x + conv3x3(relu(bn(conv3x3(relu(bn(x))))))
//   output = conv1x1(relu(bn(x)))
//
// Each convolution has a weight g v / |v|. g starts at 1, and at 0 in the last convolution: a new coupling is the
// identity.
#include <cmath>

#include "models/bijectors/running_moments.h"
#include "models/conditioners/conditioner.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

class WeightNormConv {
 public:
  WeightNormConv() = default;
  WeightNormConv(Parameters& parameters, const std::string& name, int c_in, int c_out, int kernel, double g = 1) {
    const double bound = 1 / std::sqrt(double(c_in) * kernel * kernel);
    v_ = parameters.add(name + ".weight_v", {c_out, c_in, kernel, kernel}, ParameterLayout::kConvWeight, {0, bound});
    parameters.add(name + ".weight_g", {c_out, 1, 1, 1}, ParameterLayout::kPlain, {g, 0});
    parameters.add(name + ".bias", {c_out}, ParameterLayout::kPlain, {0, 0});
  }

  Var operator()(FlowPass& pass, Var x, ConvMask x_mask = {}, ConvMask y_mask = {}) const {
    const ParameterVars& p = pass.parameters;
    const Var weight = weight_norm(pass.tape, p[v_], p[v_ + 1]);
    return conv(pass.tape, x, weight, p[v_ + 2], false, x_mask, y_mask);
  }

 private:
  int v_ = -1;  ///< g and the bias are the next ones
};

/// relu(bn(x)).
class NormRelu {
 public:
  NormRelu() = default;
  NormRelu(Parameters& parameters, const std::string& name, int channels)
      : moments_(parameters, name + ".", channels, kMomentum) {
    gamma_ = parameters.add(name + ".weight", {channels}, ParameterLayout::kPlain, {1, 0});
    parameters.add(name + ".bias", {channels}, ParameterLayout::kPlain, {0, 0});
  }

  Var operator()(FlowPass& pass, Var x) const {
    const Var gamma = pass.parameters[gamma_], beta = pass.parameters[gamma_ + 1];
    constexpr Activation kRelu = Activation::kRelu;
    return pass.batch_statistics
               ? batch_norm(pass.tape, x, gamma, beta, Var{}, moments_.of_batch(pass, x), kBatchNormEps, kRelu)
               : batch_norm_fixed(pass.tape, x, gamma, beta, Var{}, moments_.running(), kBatchNormEps, kRelu);
  }

  void weights_changed(const Parameters& parameters) { moments_.weights_changed(parameters); }

 private:
  static constexpr double kMomentum = 0.1;

  RunningMoments moments_;
  int gamma_ = -1;
};

struct Block {
  NormRelu norm1, norm2;
  WeightNormConv conv1, conv2;
};

class Resnet : public Conditioner {
 public:
  Resnet(const Settings& settings, Builder& builder, int outputs)
      : hidden_(settings.integer("hidden")), channels_(builder.shape.c), blocks_(settings.integer("blocks")) {
    Parameters& p = builder.parameters;
    const std::string& name = builder.prefix;
    first_ = WeightNormConv(p, name + "first", channels_ + builder.image_channels, hidden_, 3);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const std::string block = name + "blocks." + std::to_string(i) + ".";
      blocks_[i].norm1 = NormRelu(p, block + "norm1", hidden_);
      blocks_[i].conv1 = WeightNormConv(p, block + "conv1", hidden_, hidden_, 3);
      blocks_[i].norm2 = NormRelu(p, block + "norm2", hidden_);
      blocks_[i].conv2 = WeightNormConv(p, block + "conv2", hidden_, hidden_, 3);
    }
    norm_ = NormRelu(p, name + "norm", hidden_);
    last_ = WeightNormConv(p, name + "last", hidden_, outputs * channels_, 1, 0);
  }

  Var forward(FlowPass& pass, Var input, Mask mask) const override {
    const ConvMask z{mask, channels_};
    Var x = first_(pass, input, z);
    for (const Block& block : blocks_) {
      const Var h = block.conv1(pass, block.norm1(pass, x));
      x = add(pass.tape, x, block.conv2(pass, block.norm2(pass, h)));
    }
    return last_(pass, norm_(pass, x), {}, z);
  }

  bool uses_batch_statistics() const override { return true; }
  void weights_changed(const Parameters& parameters) override {
    for (Block& block : blocks_) {
      block.norm1.weights_changed(parameters);
      block.norm2.weights_changed(parameters);
    }
    norm_.weights_changed(parameters);
  }

  std::string description() const override {
    return "residual net, hidden " + std::to_string(hidden_) + ", " + std::to_string(blocks_.size()) + " blocks";
  }

 private:
  int hidden_, channels_;
  WeightNormConv first_, last_;
  std::vector<Block> blocks_;
  NormRelu norm_;
};

}  // namespace

ConditionerType resnet_type() {
  return {{"resnet",
           "RealNVP's residual net with weight normalisation and batch norm",
           {integer_key("hidden", 32, 1, 4096, "channels inside"),
            integer_key("blocks", 2, 0, 64, "residual blocks of two convolutions")}},
          [](const Settings& settings, Builder& builder, int outputs) -> std::unique_ptr<Conditioner> {
            return std::make_unique<Resnet>(settings, builder, outputs);
          }};
}

}  // namespace flowsmith::core
