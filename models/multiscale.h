// The layers of a multi-scale architecture (RealNVP, Dinh et al. 2017, section 3.6): squeeze and split.
#pragma once

#include "models/bijector.h"

namespace flowsmith {

/// (n,h,w,c) -> (n,h/2,w/2,4c); kernels/squeeze.h.
class SqueezeLayer : public Bijector {
 public:
  Var forward(FlowPass& pass, Var x) const override { return squeeze(pass.tape, x); }
  Var inverse(FlowPass& pass, Var z) const override { return unsqueeze(pass.tape, z); }
  MapShape output_shape(MapShape in) const override { return {in.n, in.h / 2, in.w / 2, 4 * in.c}; }
  std::string description() const override { return "squeeze"; }
};

/// Sends the second half of the channels to the prior; kernels/prior.h.
class SplitLayer : public Bijector {
 public:
  /// `index`: which of the flow's latents this split makes, 0 for the first.
  explicit SplitLayer(int index) : index_(index) {}

  Var forward(FlowPass& pass, Var x) const override {
    if (!pass.keep_latents) return split(pass.tape, x, pass.logdet, nullptr);
    pass.latents.resize(index_ + 1);
    return split(pass.tape, x, pass.logdet, &pass.latents[index_]);
  }
  Var inverse(FlowPass& pass, Var z) const override { return unsplit(pass.tape, z, pass.latents.at(index_)); }
  MapShape output_shape(MapShape in) const override { return {in.n, in.h, in.w, in.c - in.c / 2}; }
  MapShape latent_shape(MapShape in) const { return {in.n, in.h, in.w, in.c / 2}; }
  std::string description() const override { return "split"; }

 private:
  int index_;
};

}  // namespace flowsmith
