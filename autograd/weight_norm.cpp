#include "kernels/weight_norm.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct WeightNormNode {
  Var w, v, g;
  WeightNormShape shape;

  void backward(Tape& tape) const {
    const Tensor in = tape.value(v);
    dispatch_network(tape.device(), in.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      weight_norm_backward(tape.grad<T>(v), tape.grad<T>(g), tape.finished_grad(w).data<T>(), in.data<T>(),
                           tape.value(g).data<T>(), shape, stream);
    });
  }
};

}  // namespace

Var weight_norm(Tape& tape, Var v, Var g) {
  const Tensor in = tape.value(v);
  require(in.shape().rank() > 0 && in.size() > 0, "a weight norm needs a weight with output channels");
  const int out = in.shape()[in.shape().rank() - 1];
  require_tensor(tape.value(g), in.dtype(), Shape{out}, "a weight norm's g");
  const WeightNormShape shape{in.size() / out, out};
  const Var w = tape.output(in.dtype(), in.shape(), tape.needs_grad(v) || tape.needs_grad(g));
  dispatch_network(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    weight_norm_forward(tape.value(w).data<T>(), in.data<T>(), tape.value(g).data<T>(), shape, stream);
  });
  if (tape.needs_grad(w)) tape.record(WeightNormNode{w, v, g, shape});
  return w;
}

}  // namespace flowsmith::core
