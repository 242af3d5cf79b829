#include "models/coupling_layer.h"

#include <algorithm>
#include <cmath>

namespace flowsmith {

/// The node of a coupling that kept nothing.
struct CouplingLayer::Rebuild {
  const CouplingLayer* layer;
  ParameterVars parameters;
  DType network_type;
  Tensor image;
  Var z, x, logdet;  ///< z is x, written over

  void backward(Tape& tape) const {
    // Their memory must outlast what is recorded here; that of x is z's, and parameters have their own.
    tape.finished_grad(z);
    tape.finished_grad(logdet);
    tape.backward_through([&] {
      const FlowPass pass{tape, parameters, network_type, logdet, {}, false};
      const Mask mask = layer->options_.mask;
      const Var st = layer->network_(pass, conditioner_input(tape, x, image, mask, network_type), mask);
      rebuild_coupling(tape, z, x, st, parameters[layer->scaling_factor_], logdet, mask);
    });
  }
};

CouplingLayer::CouplingLayer(Parameters& parameters, const std::string& prefix, CouplingOptions options)
    : prefix_(prefix),
      options_(options),
      scaling_factor_(parameters.add(prefix + "scaling_factor", {options.channels}, ParameterLayout::kPlain, {0, 0})),
      network_(parameters, prefix + "network.", options.channels, options.image_channels, options.hidden,
               options.edition) {}

Var CouplingLayer::forward(FlowPass& pass, Var x, Tensor image) const {
  Tape& tape = pass.tape;
  if (!tape.recompute()) return transform(pass, x, image);
  const Tensor memory = tape.value(x);
  if (pass.rebuilt.empty() || pass.rebuilt.back().rebuilt.raw() != memory.raw()) {
    const Tensor kept = tape.arena().tensor(memory.dtype(), memory.shape());
    copy(tape.device(), kept.raw(), memory.raw(), memory.bytes());
    pass.rebuilt.push_back({kept, memory});
  }
  const Var z = tape.in_place(x);
  {
    const TapePause pause(tape);
    transform(pass, x, image);
  }
  tape.record(Rebuild{this, pass.parameters, pass.network_type, image, z, x, pass.logdet});
  return z;
}

Var CouplingLayer::transform(FlowPass& pass, Var x, Tensor image) const {
  const TapeScope scope(pass.tape);
  const Var input = conditioner_input(pass.tape, x, image, options_.mask, pass.network_type);
  const Var st = network_(pass, input, options_.mask);
  return coupling(pass.tape, x, st, pass.parameters[scaling_factor_], pass.logdet, options_.mask);
}

Var CouplingLayer::inverse(FlowPass& pass, Var z) const {
  const TapeScope scope(pass.tape);
  const Var input = conditioner_input(pass.tape, z, Tensor{}, options_.mask, pass.network_type);
  coupling_inverse(pass.tape, z, network_(pass, input, options_.mask), pass.parameters[scaling_factor_], options_.mask);
  return z;
}

std::string CouplingLayer::description() const {
  const bool checkerboard = options_.mask.kind == MaskKind::kCheckerboard;
  return std::string("coupling, ") + (checkerboard ? "checkerboard" : "channel") + " mask" +
         (options_.mask.invert ? " inverted" : "") + ", hidden " + std::to_string(network_.hidden());
}

double largest_drift(const std::vector<RebuiltInput>& inputs, Device device) {
  double largest = 0;
  for (const RebuiltInput& input : inputs) {
    dispatch_path(device, input.kept.dtype(), [&](auto, auto zero) {
      using T = decltype(zero);
      const auto kept = download<T>(device, input.kept), rebuilt = download<T>(device, input.rebuilt);
      for (std::size_t i = 0; i < kept.size(); ++i) largest = std::max(largest, std::abs(double(rebuilt[i] - kept[i])));
    });
  }
  return largest;
}

}  // namespace flowsmith
