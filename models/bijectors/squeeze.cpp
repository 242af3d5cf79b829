// (n,h,w,c) -> (n,h/2,w/2,4c): kernels/squeeze.h.
#include "models/bijectors/bijector.h"
#include "models/registry.h"

namespace flowsmith {
namespace {

class Squeeze : public Bijector {
 public:
  Var forward(FlowPass& pass, Var x) const override { return squeeze(pass.tape, x); }
  Var inverse(FlowPass& pass, Var z) const override { return unsqueeze(pass.tape, z); }
  MapShape output_shape(MapShape in) const override { return {in.n, in.h / 2, in.w / 2, 4 * in.c}; }
  std::string description() const override { return "squeeze"; }
};

std::unique_ptr<Bijector> make(const Settings&, Builder& builder) {
  const MapShape in = builder.shape;
  if (in.h % 2 != 0 || in.w % 2 != 0) {
    throw Error("maps of " + std::to_string(in.h) + " x " + std::to_string(in.w) +
                " pixels cannot be halved: both sides must be even here; crop or pad the data, or leave the layer out");
  }
  return std::make_unique<Squeeze>();
}

}  // namespace

LayerType squeeze_type() { return {{"squeeze", "squares of 2 x 2 pixels become channels", {}}, make}; }

}  // namespace flowsmith
