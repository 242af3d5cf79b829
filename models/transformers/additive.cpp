// Shift alone (NICE, Dinh et al. 2015, section 3.2): kernels/additive_coupling.h, docs/math/additive_coupling.md.
#include "models/registry.h"
#include "models/transformers/transformer.h"

namespace flowsmith::core {
namespace {

class Additive : public Transformer {
 public:
  int parameters_per_element() const override { return 1; }

  Var forward(FlowPass& pass, Var x, Var p, Mask mask) const override {
    return additive_coupling(pass.tape, x, p, mask);
  }
  void inverse(FlowPass& pass, Var z, Var p, Mask mask) const override {
    additive_coupling_inverse(pass.tape, z, p, mask);
  }
  void rebuild(const FlowPass& pass, Var z, Var x, Var p, Mask mask) const override {
    rebuild_additive_coupling(pass.tape, z, x, p, mask);
  }
  std::string description() const override { return "additive"; }
};

}  // namespace

TransformerType additive_type() {
  return {{"additive", "shift alone: the log-determinant is 0", {}},
          [](const Settings&, Builder&) -> std::unique_ptr<Transformer> { return std::make_unique<Additive>(); }};
}

}  // namespace flowsmith::core
