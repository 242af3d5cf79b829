// A fixed order of the channels: kernels/permute.h, docs/math/permutation.md.
#include "kernels/permute.h"
#include "models/bijectors/bijector.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

class Permutation : public Bijector {
 public:
  Permutation(const Settings& settings, Builder& builder)
      : name_(settings.text("order")), memory_(builder.parameters.device()) {
    const int c = builder.shape.c;
    const std::vector<std::uint32_t> order =
        name_ == "reverse" ? reverse_order(c)
                           : random_order(c, std::uint64_t(settings.integer("seed")) + builder.repetition);
    order_ = memory_.tensor(DType::kU32, Shape{c});
    upload(memory_.device(), order_, order.data());
  }

  Var forward(FlowPass& pass, Var x) const override { return permute(pass.tape, x, order_); }
  Var inverse(FlowPass& pass, Var z) const override { return unpermute(pass.tape, z, order_); }
  std::string description() const override { return "permutation, " + name_; }

 private:
  std::string name_;
  Arena memory_;
  Tensor order_;
};

}  // namespace

LayerType permutation_type() {
  return {{"permutation",
           "a fixed order of the channels",
           {choice_key("order", "reverse", {"reverse", "random"}, "the last first, or drawn from the seed"),
            integer_key("seed", 0, 0, 2147483647, "of a random order; each repetition has the next one")}},
          [](const Settings& settings, Builder& builder) -> std::unique_ptr<Bijector> {
            return std::make_unique<Permutation>(settings, builder);
          }};
}

}  // namespace flowsmith::core
