#include "models/coupling_layer.h"

namespace flowsmith {

CouplingLayer::CouplingLayer(Parameters& parameters, const std::string& prefix, CouplingOptions options)
    : prefix_(prefix),
      options_(options),
      scaling_factor_(parameters.add(prefix + "scaling_factor", {options.channels}, ParameterLayout::kPlain, {0, 0})),
      network_(parameters, prefix + "network.", options.channels + options.image_channels, options.hidden,
               2 * options.channels, options.edition) {}

Var CouplingLayer::forward(FlowPass& pass, Var x, Tensor image) const {
  const TapeScope scope(pass.tape);
  const Var input = conditioner_input(pass.tape, x, image, options_.mask, pass.network_type);
  const Var st = network_(pass, input);
  return coupling(pass.tape, x, st, pass.parameters[scaling_factor_], pass.logdet, options_.mask);
}

Var CouplingLayer::inverse(FlowPass& pass, Var z) const {
  const TapeScope scope(pass.tape);
  const Var input = conditioner_input(pass.tape, z, Tensor{}, options_.mask, pass.network_type);
  coupling_inverse(pass.tape, z, network_(pass, input), pass.parameters[scaling_factor_], options_.mask);
  return z;
}

std::string CouplingLayer::description() const {
  const bool checkerboard = options_.mask.kind == MaskKind::kCheckerboard;
  return std::string("coupling, ") + (checkerboard ? "checkerboard" : "channel") + " mask" +
         (options_.mask.invert ? " inverted" : "") + ", hidden " + std::to_string(network_.hidden());
}

}  // namespace flowsmith
