// Sends the second half of the channels to the base at once (multi-scale architecture: RealNVP, Dinh et al. 2017,
// section 3.6): kernels/prior.h. Glow's learned prior says from the half that stays how the other one is distributed,
// N(mean, exp(log_scale)^2): that is N(0, 1) for (z - mean) exp(-log_scale), an affine coupling of the second half in
// front of the split. So latents are what is N(0, 1), whatever the prior.
#include <nlohmann/json.hpp>

#include "models/bijectors/bijector.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

class Split : public Bijector {
 public:
  Split(const Settings& settings, Builder& builder) : index_(builder.latents), in_(builder.shape) {
    if (settings.text("prior") == "standard_normal") return;
    static constexpr const char* kPrior = R"({"type": "coupling", "mask": "channel",
      "transformer": {"type": "affine", "bound": "none", "order": "shift_first"}, "conditioner": "glow_prior"})";
    Builder inside = builder;
    inside.prefix += "prior.";
    const auto json = check_component(nlohmann::ordered_json::parse(kPrior), ComponentKind::kLayer, "prior");
    prior_ = make_layer({json, "prior"}, inside);
  }

  Var forward(FlowPass& pass, Var x) const override {
    if (prior_) x = prior_->forward(pass, x);
    const Var logp = pass.log_prior.id < 0 ? pass.logdet : pass.log_prior;
    if (!pass.keep_latents) return split(pass.tape, x, logp, nullptr);
    pass.latents.resize(index_ + 1);
    return split(pass.tape, x, logp, &pass.latents[index_]);
  }
  Var inverse(FlowPass& pass, Var z) const override {
    const Var x = unsplit(pass.tape, z, pass.latents.at(index_));
    return prior_ ? prior_->inverse(pass, x) : x;
  }
  MapShape output_shape(MapShape in) const override { return {in.n, in.h, in.w, in.c - in.c / 2}; }
  std::optional<MapShape> latent_shape() const override { return MapShape{1, in_.h, in_.w, in_.c / 2}; }
  std::string description() const override { return prior_ ? "split, learned prior" : "split"; }

 private:
  int index_;                        ///< which of the flow's latents this split makes, 0 for the first
  MapShape in_;                      ///< n = 1
  std::unique_ptr<Bijector> prior_;  ///< none: N(0, 1)
};

std::unique_ptr<Bijector> make(const Settings& settings, Builder& builder) {
  if (builder.shape.c < 2) throw Error("one channel cannot be split: put a squeeze in front, or leave the layer out");
  return std::make_unique<Split>(settings, builder);
}

}  // namespace

LayerType split_type() {
  return {{"split",
           "half of the channels goes to the base at once",
           {choice_key("prior", "standard_normal", {"standard_normal", "learned"},
                       "of the half that leaves; learned: a convolution of the half that stays gives mean and scale")}},
          make};
}

}  // namespace flowsmith::core
