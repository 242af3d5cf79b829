#include "kernels/mixture.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct MixtureNode {
  Var z, weight_logits, mean, log_scale, logp;
  Tensor responsibility;

  template <class S>
  MixtureParameters<S> parameters(const Tape& tape) const {
    return {tape.value(weight_logits).data<S>(), tape.value(mean).data<S>(), tape.value(log_scale).data<S>(),
            int(tape.value(weight_logits).size())};
  }

  void backward(Tape& tape) const {
    const Tensor in = tape.value(z);
    dispatch_mixed(tape.device(), in.dtype(), tape.value(mean).dtype(), [&](auto stream, auto zero_z, auto zero_s) {
      using Z = decltype(zero_z);
      using S = decltype(zero_s);
      const MixtureGrads<S> grads{tape.grad<S>(weight_logits), tape.grad<S>(mean), tape.grad<S>(log_scale)};
      mixture_log_density_backward(tape.grad<Z>(z), grads, tape.finished_grad(logp).data<double>(),
                                   responsibility.data<double>(), in.data<Z>(), parameters<S>(tape), in.map().n,
                                   in.map().image_size(), stream);
    });
  }
};

}  // namespace

void mixture_log_density(Tape& tape, Var z, Var weight_logits, Var mean, Var log_scale, Var logp) {
  const Tensor in = tape.value(z), logits = tape.value(weight_logits);
  const MapShape map = in.map();
  const int components = int(logits.size());
  const Shape of_parameters{components, int(map.image_size())};
  require(components > 0, "a mixture needs at least one component");
  require_tensor(logits, logits.dtype(), Shape{components}, "weight_logits");
  require_tensor(tape.value(mean), logits.dtype(), of_parameters, "mean");
  require_tensor(tape.value(log_scale), logits.dtype(), of_parameters, "log_scale");
  require_tensor(tape.value(logp), DType::kF64, Shape{map.n}, "logp");
  const TapeScope scope(tape);  // of the responsibilities
  const MixtureNode node{z,         weight_logits, mean,
                         log_scale, logp,          tape.arena().tensor(DType::kF64, Shape{map.n, components})};
  dispatch_mixed(tape.device(), in.dtype(), logits.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
    mixture_log_density_forward(tape.value(logp).data<double>(), node.responsibility.data<double>(),
                                in.data<decltype(zero_z)>(), node.parameters<decltype(zero_s)>(tape), map.n,
                                map.image_size(), stream);
  });
  const bool needs_grad =
      tape.needs_grad(z) || tape.needs_grad(weight_logits) || tape.needs_grad(mean) || tape.needs_grad(log_scale);
  if (tape.recording() && needs_grad) tape.record(node);
}

}  // namespace flowsmith::core
