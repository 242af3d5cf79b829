#include "kernels/gated_block.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

template <class T>
GatedBlockWeights<T> weight_pointers(const Tape& tape, const GatedBlockVars& w) {
  return {tape.value(w.weight3).data<T>(), tape.value(w.bias3).data<T>(), tape.value(w.weight1).data<T>(),
          tape.value(w.bias1).data<T>(),   tape.value(w.gamma).data<T>(), tape.value(w.beta).data<T>()};
}

struct GatedBlockNode {
  Var y, x;
  GatedBlockVars weights;
  Tensor h, vg;
  GatedBlockShape shape;

  void backward(Tape& tape) const {
    const Tensor dy = tape.finished_grad(y);
    dispatch_network(tape.device(), dy.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      const GatedBlockGrads<T> grads{tape.grad<T>(weights.weight3), tape.grad<T>(weights.bias3),
                                     tape.grad<T>(weights.weight1), tape.grad<T>(weights.bias1),
                                     tape.grad<T>(weights.gamma),   tape.grad<T>(weights.beta)};
      gated_block_backward(tape.grad<T>(x), grads, dy.data<T>(), GatedBlockSaved<const T>{h.data<T>(), vg.data<T>()},
                           tape.value(x).data<T>(), weight_pointers<T>(tape, weights), shape, stream);
    });
  }
};

}  // namespace

Var gated_block(Tape& tape, Var x, const GatedBlockVars& weights, bool concat_elu_input, double norm_eps) {
  const MapShape map = tape.value(x).map();
  const DType dtype = tape.value(x).dtype();
  const GatedBlockShape shape{map.n, map.h, map.w, map.c, concat_elu_input, norm_eps};
  const int c = map.c;
  require_tensor(tape.value(weights.weight3), dtype, Shape{3, 3, shape.conv3().c_in, c}, "a gated block's 3x3 weight");
  require_tensor(tape.value(weights.bias3), dtype, Shape{c}, "a gated block's 3x3 bias");
  require_tensor(tape.value(weights.weight1), dtype, Shape{1, 1, 2 * c, 2 * c}, "a gated block's 1x1 weight");
  require_tensor(tape.value(weights.bias1), dtype, Shape{2 * c}, "a gated block's 1x1 bias");
  require_tensor(tape.value(weights.gamma), dtype, Shape{c}, "a gated block's gamma");
  require_tensor(tape.value(weights.beta), dtype, Shape{c}, "a gated block's beta");
  bool needs_grad = tape.needs_grad(x);
  for (const Var w : {weights.weight3, weights.bias3, weights.weight1, weights.bias1, weights.gamma, weights.beta}) {
    needs_grad = needs_grad || tape.needs_grad(w);
  }
  const Var y = tape.output(dtype, map, needs_grad);
  Tensor h, vg;
  if (tape.needs_grad(y)) {
    h = tape.arena().tensor(dtype, map);
    vg = tape.arena().tensor(dtype, MapShape{map.n, map.h, map.w, 2 * c});
  }
  dispatch_network(tape.device(), dtype, [&](auto stream, auto zero) {
    using T = decltype(zero);
    const GatedBlockSaved<T> saved{static_cast<T*>(h.raw()), static_cast<T*>(vg.raw())};
    gated_block_forward(tape.value(y).data<T>(), saved, tape.value(x).data<T>(), weight_pointers<T>(tape, weights),
                        shape, stream);
  });
  if (tape.needs_grad(y)) tape.record(GatedBlockNode{y, x, weights, h, vg, shape});
  return y;
}

}  // namespace flowsmith::core
