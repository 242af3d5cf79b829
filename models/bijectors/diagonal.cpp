// NICE's last layer (Dinh et al. 2015, section 3.3): a learned scale for each element. docs/math/actnorm.md.
#include "models/bijectors/channel_scale.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

class Diagonal : public Bijector {
 public:
  explicit Diagonal(Builder& builder)
      : scale_(builder.parameters, builder.prefix, {int(builder.shape.image_size()), false}) {}

  Var forward(FlowPass& pass, Var x) const override {
    const Shape shape = pass.tape.value(x).shape();
    return pass.tape.reshape(scale_.forward(pass, one_row(pass, x), pass.logdet), shape);
  }
  Var inverse(FlowPass& pass, Var z) const override {
    const Shape shape = pass.tape.value(z).shape();
    const Var row = one_row(pass, z);
    scale_.inverse(pass, row, pass.logdet);
    return pass.tape.reshape(row, shape);
  }
  std::string description() const override { return "diagonal"; }

 private:
  ChannelScale scale_;
};

}  // namespace

LayerType diagonal_type() {
  return {{"diagonal", "a scale for each element", {}},
          [](const Settings&, Builder& builder) -> std::unique_ptr<Bijector> {
            return std::make_unique<Diagonal>(builder);
          }};
}

}  // namespace flowsmith::core
