// (n,h,w,c) -> (n,h/2,w/2,4c): kernels/squeeze.h, and kernels/permute.h for the other order.
#include "kernels/permute.h"
#include "models/bijectors/bijector.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

class Squeeze : public Bijector {
 public:
  Squeeze(const Settings& settings, Builder& builder)
      : pixel_first_(settings.text("order") == "pixel"), memory_(builder.parameters.device()) {
    const int c = builder.shape.c;
    if (!pixel_first_) return;
    std::vector<std::uint32_t> order;  // channel p c + k comes from 4k + p
    for (int p = 0; p < 4; ++p) {
      for (int k = 0; k < c; ++k) order.push_back(std::uint32_t(4 * k + p));
    }
    order_ = memory_.tensor(DType::kU32, Shape{4 * c});
    upload(memory_.device(), order_, order.data());
  }

  Var forward(FlowPass& pass, Var x) const override {
    const Var z = squeeze(pass.tape, x);
    return pixel_first_ ? permute(pass.tape, z, order_) : z;
  }
  Var inverse(FlowPass& pass, Var z) const override {
    return unsqueeze(pass.tape, pixel_first_ ? unpermute(pass.tape, z, order_) : z);
  }
  MapShape output_shape(MapShape in) const override { return {in.n, in.h / 2, in.w / 2, 4 * in.c}; }
  std::string description() const override { return pixel_first_ ? "squeeze, pixel first" : "squeeze"; }

 private:
  bool pixel_first_;
  Arena memory_;
  Tensor order_;
};

std::unique_ptr<Bijector> make(const Settings& settings, Builder& builder) {
  const MapShape in = builder.shape;
  if (in.h % 2 != 0 || in.w % 2 != 0) {
    throw Error("maps of " + std::to_string(in.h) + " x " + std::to_string(in.w) +
                " pixels cannot be halved: both sides must be even here; crop or pad the data, or leave the layer out");
  }
  return std::make_unique<Squeeze>(settings, builder);
}

}  // namespace

LayerType squeeze_type() {
  return {{"squeeze",
           "squares of 2 x 2 pixels become channels",
           {choice_key("order", "channel", {"channel", "pixel"},
                       "which comes first: channel k of pixel p of a square at 4k + p (channel), or at p C + k (pixel, "
                       "as in the tutorial's JAX edition)")}},
          make};
}

}  // namespace flowsmith::core
