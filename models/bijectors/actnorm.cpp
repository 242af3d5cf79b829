// Activation normalisation (Glow, Kingma and Dhariwal 2018, section 3.1): a learned shift and scale per channel, whose
// initial values take the first examples to mean 0 and variance 1. docs/math/actnorm.md.
#include "models/bijectors/channel_scale.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

class Actnorm : public Bijector {
 public:
  Actnorm(const Settings& settings, Builder& builder)
      : scale_(builder.parameters, builder.prefix, {builder.shape.c, true, settings.number("factor")}) {}

  Var forward(FlowPass& pass, Var x) const override { return scale_.forward(pass, x, pass.logdet); }
  Var inverse(FlowPass& pass, Var z) const override {
    scale_.inverse(pass, z, pass.logdet);
    return z;
  }
  Var initialize(FlowPass& pass, Parameters& parameters, Var x) const override {
    scale_.fit(pass, parameters, x);
    return forward(pass, x);
  }
  bool needs_data() const override { return true; }
  std::string description() const override { return "actnorm"; }

 private:
  ChannelScale scale_;
};

}  // namespace

LayerType actnorm_type() {
  return {{"actnorm",
           "a shift and scale for each channel, fitted to the first examples",
           {number_key("factor", 1, 1e-3, 1e3, "on log_scale: exp(factor * log_scale); Glow's code has 3")}},
          [](const Settings& settings, Builder& builder) -> std::unique_ptr<Bijector> {
            return std::make_unique<Actnorm>(settings, builder);
          }};
}

}  // namespace flowsmith::core
