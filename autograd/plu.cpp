#include "kernels/plu.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct PluNode {
  Var weight, lower, upper, log_scale;
  Tensor permutation, sign;

  template <class S>
  PluParameters<S> factors(const Tape& tape) const {
    return {permutation.data<std::uint32_t>(), tape.value(lower).data<S>(), tape.value(upper).data<S>(),
            tape.value(log_scale).data<S>(), sign.data<S>()};
  }

  void forward(const Tape& tape) const {
    dispatch_network(tape.device(), sign.dtype(), [&](auto stream, auto zero) {
      using S = decltype(zero);
      compose_plu_forward(tape.value(weight).data<S>(), factors<S>(tape), sign.shape()[0], stream);
    });
  }

  void backward(Tape& tape) const {
    dispatch_network(tape.device(), sign.dtype(), [&](auto stream, auto zero) {
      using S = decltype(zero);
      const S* const dweight = tape.finished_grad(weight).data<S>();
      const PluGradients<S> gradients{tape.grad<S>(lower), tape.grad<S>(upper), tape.grad<S>(log_scale)};
      compose_plu_backward(gradients, dweight, factors<S>(tape), sign.shape()[0], stream);
    });
  }
};

}  // namespace

Var compose_plu(Tape& tape, Tensor permutation, Var lower, Var upper, Var log_scale, Tensor sign) {
  const DType network = tape.value(lower).dtype();
  const int c = tape.value(lower).shape()[0];
  require_tensor(tape.value(lower), network, Shape{c, c}, "the lower factor");
  require_tensor(tape.value(upper), network, Shape{c, c}, "the upper factor");
  require_tensor(tape.value(log_scale), network, Shape{c}, "log_scale");
  require_tensor(sign, network, Shape{c}, "sign");
  require_tensor(permutation, DType::kU32, Shape{c}, "the permutation");
  const bool needs_grad = tape.needs_grad(lower) || tape.needs_grad(upper) || tape.needs_grad(log_scale);
  const PluNode node{tape.output(network, Shape{c, c}, needs_grad), lower, upper, log_scale, permutation, sign};
  node.forward(tape);
  if (tape.needs_grad(node.weight)) tape.record(node);
  return node.weight;
}

}  // namespace flowsmith::core
