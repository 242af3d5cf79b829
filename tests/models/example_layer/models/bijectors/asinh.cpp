// Pulls long tails in: kernels/scaled_asinh.h.
#include "models/bijectors/bijector.h"
#include "models/registry.h"
#include "tests/models/example_layer/autograd/ops.h"

namespace flowsmith::core {
namespace {

class Asinh : public Bijector {
 public:
  explicit Asinh(double scale) : scale_(scale) {}

  Var forward(FlowPass& pass, Var x) const override { return scaled_asinh(pass.tape, x, scale_, pass.logdet); }
  Var inverse(FlowPass& pass, Var z) const override {
    scaled_asinh_inverse(pass.tape, z, scale_, pass.logdet);
    return z;
  }
  std::string description() const override { return "asinh"; }

 private:
  double scale_;
};

}  // namespace

LayerType asinh_type() {
  return {{"asinh",
           "the inverse hyperbolic sine of each element: long tails become short",
           {number_key("scale", 1, 1e-3, 1e3, "elements well below it stay as they are")}},
          [](const Settings& settings, Builder&) -> std::unique_ptr<Bijector> {
            return std::make_unique<Asinh>(settings.number("scale"));
          }};
}

}  // namespace flowsmith::core
