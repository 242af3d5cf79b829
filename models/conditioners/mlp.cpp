// A multilayer perceptron: the whole of z as one row, through fully connected layers (kernels/dense.h). One network for
// all outputs of the transformer, or one for each, as RealNVP's two-dimensional examples have it.
#include <cmath>

#include "models/conditioners/conditioner.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

constexpr const char* kActivationNames[] = {"none", "relu", "elu", "tanh", "leaky_relu"};  // as Activation

class Mlp : public Conditioner {
 public:
  Mlp(const Settings& settings, Builder& builder, int outputs)
      : hidden_(settings.integers("hidden")), shape_(builder.shape) {
    while (kActivationNames[int(activation_)] != settings.text("activation")) {
      activation_ = Activation(int(activation_) + 1);
    }
    const bool separate = settings.text("networks") == "separate";
    const int networks = separate ? outputs : 1;
    outputs_ = separate ? 1 : outputs;
    for (int n = 0; n < networks; ++n) {
      const std::string prefix = builder.prefix + (separate ? std::to_string(n) + "." : "");
      networks_.push_back(add_network(settings, builder, prefix));
    }
  }

  Var forward(FlowPass& pass, Var input, Mask) const override {
    Var all = run(pass, networks_.front(), input);
    for (std::size_t i = 1; i < networks_.size(); ++i) {
      all = concat_channels(pass.tape, all, run(pass, networks_[i], input));
    }
    return all;
  }

  std::string description() const override {
    std::string text = networks_.size() > 1 ? "MLPs" : "MLP";
    for (const int width : hidden_) text += " " + std::to_string(width);
    return text;
  }

 private:
  using Network = std::vector<int>;  ///< the weight of each layer; its bias is the next parameter

  Network add_network(const Settings& settings, Builder& builder, const std::string& prefix) const {
    const MapShape& s = builder.shape;
    std::int64_t in = std::int64_t(s.pixels()) * (s.c + builder.image_channels);
    std::vector<std::int64_t> widths(hidden_.begin(), hidden_.end());
    widths.push_back(std::int64_t(s.image_size()) * outputs_);
    Network network;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const std::int64_t out = widths[i];
      const bool last = i + 1 == widths.size();
      const bool glorot = settings.text("init") == "glorot";
      double bound = glorot ? std::sqrt(6.0 / double(in + out)) : 1 / std::sqrt(double(in));
      if (last && settings.flag("zero_last")) bound = 0;
      const std::string name = prefix + std::to_string(i);
      network.push_back(
          builder.parameters.add(name + ".weight", {out, in}, ParameterLayout::kLinearWeight, {0, bound}));
      builder.parameters.add(name + ".bias", {out}, ParameterLayout::kPlain, {0, glorot ? 0 : bound});
      in = out;
    }
    return network;
  }

  Var run(FlowPass& pass, const Network& network, Var x) const {
    const int n = pass.tape.value(x).map().n;
    for (std::size_t i = 0; i < network.size(); ++i) {
      const Var weight = pass.parameters[network[i]], bias = pass.parameters[network[i] + 1];
      const bool last = i + 1 == network.size();
      const MapShape out = last ? MapShape{n, shape_.h, shape_.w, outputs_ * shape_.c} : MapShape{n, 1, 1, hidden_[i]};
      x = dense(pass.tape, x, weight, bias, last ? Activation::kNone : activation_, out);
    }
    return x;
  }

  std::vector<int> hidden_;
  Activation activation_ = Activation::kNone;
  int outputs_ = 1;  ///< for each element, of one network
  MapShape shape_;   ///< of z, n = 1
  std::vector<Network> networks_;
};

}  // namespace

ConditionerType mlp_type() {
  return {{"mlp",
           "fully connected layers",
           {integers_key("hidden", "[256, 256]", 1, 65536, "units of each hidden layer"),
            choice_key("activation", "relu", {"none", "relu", "elu", "tanh", "leaky_relu"}, "behind each hidden layer"),
            choice_key("networks", "one", {"one", "separate"},
                       "one network for all numbers that the transformer needs, or one for each"),
            choice_key("init", "pytorch", {"pytorch", "glorot"},
                       "initial weights: U(-1/sqrt(in), 1/sqrt(in)), or U(-a, a) with a = sqrt(6 / (in + out)) and no "
                       "biases"),
            flag_key("zero_last", true, "the last layer starts at zero: a new coupling is the identity")}},
          [](const Settings& settings, Builder& builder, int outputs) -> std::unique_ptr<Conditioner> {
            return std::make_unique<Mlp>(settings, builder, outputs);
          }};
}

}  // namespace flowsmith::core
