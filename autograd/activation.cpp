#include "autograd/activation.h"

#include "engine/dispatch.h"

namespace flowsmith::core {

void activate(Tape& tape, Var y, Activation activation) {
  if (activation == Activation::kNone) return;
  const Tensor out = tape.value(y);
  dispatch_network(tape.device(), out.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    activation_forward(out.data<T>(), out.data<T>(), activation, out.size(), stream);
  });
}

Tensor finished_grad_before(Tape& tape, Var y, Activation activation) {
  const Tensor grad = tape.finished_grad(y), out = tape.value(y);
  if (activation == Activation::kNone) return grad;
  dispatch_network(tape.device(), out.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    activation_backward(Grad<T>{grad.data<T>()}, grad.data<T>(), out.data<T>(), activation, out.size(), stream);
  });
  return grad;
}

}  // namespace flowsmith::core
