#include "autograd/ops.h"
#include "kernels/activation.h"
#include "kernels/layer_norm.h"

namespace flowsmith::core {
namespace {

struct ConcatEluNode {
  Var y, x;

  void backward(Tape& tape) const {
    const Tensor in = tape.value(x);
    dispatch_network(tape.device(), in.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      concat_elu_backward(tape.grad<T>(x), tape.finished_grad(y).data<T>(), in.data<T>(), in.map(), stream);
    });
  }
};

struct GateNode {
  Var y, x, vg;

  void backward(Tape& tape) const {
    const Tensor dy = tape.finished_grad(y);
    dispatch_network(tape.device(), dy.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      gate_backward(tape.grad<T>(x), tape.grad<T>(vg), dy.data<T>(), tape.value(vg).data<T>(), dy.map(), stream);
    });
  }
};

struct LayerNormNode {
  Var y, x, gamma, beta;

  void backward(Tape& tape) const {
    const Tensor in = tape.value(x);
    dispatch_network(tape.device(), in.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      layer_norm_backward(tape.grad<T>(x), tape.grad<T>(gamma), tape.grad<T>(beta), tape.finished_grad(y).data<T>(),
                          in.data<T>(), tape.value(gamma).data<T>(), in.map(), kLayerNormEps, stream);
    });
  }
};

}  // namespace

Var concat_elu(Tape& tape, Var x) {
  const Tensor in = tape.value(x);
  const MapShape map = in.map();
  const Var y = tape.output(in.dtype(), MapShape{map.n, map.h, map.w, 2 * map.c}, tape.needs_grad(x));
  dispatch_network(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    concat_elu_forward(tape.value(y).data<T>(), in.data<T>(), map, stream);
  });
  if (tape.needs_grad(y)) tape.record(ConcatEluNode{y, x});
  return y;
}

Var gate(Tape& tape, Var x, Var vg) {
  const Tensor in = tape.value(x);
  const MapShape map = in.map();
  require_tensor(tape.value(vg), in.dtype(), MapShape{map.n, map.h, map.w, 2 * map.c}, "value and gate");
  const Var y = tape.output(in.dtype(), in.shape(), tape.needs_grad(x) || tape.needs_grad(vg));
  dispatch_network(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    gate_forward(tape.value(y).data<T>(), in.data<T>(), tape.value(vg).data<T>(), map, stream);
  });
  if (tape.needs_grad(y)) tape.record(GateNode{y, x, vg});
  return y;
}

Var layer_norm(Tape& tape, Var x, Var gamma, Var beta) {
  const Tensor in = tape.value(x);
  const MapShape map = in.map();
  require_tensor(tape.value(gamma), in.dtype(), Shape{map.c}, "gamma");
  require_tensor(tape.value(beta), in.dtype(), Shape{map.c}, "beta");
  const bool needs_grad = tape.needs_grad(x) || tape.needs_grad(gamma) || tape.needs_grad(beta);
  const Var y = tape.output(in.dtype(), in.shape(), needs_grad);
  dispatch_network(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    layer_norm_forward(tape.value(y).data<T>(), in.data<T>(), tape.value(gamma).data<T>(), tape.value(beta).data<T>(),
                       map, kLayerNormEps, stream);
  });
  if (tape.needs_grad(y)) tape.record(LayerNormNode{y, x, gamma, beta});
  return y;
}

}  // namespace flowsmith::core
