#include "kernels/join.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct AddNode {
  Var y, a, b;

  void backward(Tape& tape) const {
    const Tensor dy = tape.finished_grad(y);
    dispatch_network(tape.device(), dy.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      const Grad<T> da = tape.grad<T>(a);  // before that of b, which may be a
      add_backward(da, tape.grad<T>(b), dy.data<T>(), dy.size(), stream);
    });
  }
};

struct ConcatChannelsNode {
  Var y, a, b;

  void backward(Tape& tape) const {
    const Tensor dy = tape.finished_grad(y);
    dispatch_network(tape.device(), dy.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      const Grad<T> da = tape.grad<T>(a);  // as above
      concat_channels_backward(da, tape.grad<T>(b), dy.data<T>(), dy.map(), tape.value(a).map().c, stream);
    });
  }
};

}  // namespace

Var add(Tape& tape, Var a, Var b) {
  const Tensor in = tape.value(a);
  require_tensor(tape.value(b), in.dtype(), in.shape(), "what is added");
  const Var y = tape.output(in.dtype(), in.shape(), tape.needs_grad(a) || tape.needs_grad(b));
  dispatch_network(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    add_forward(tape.value(y).data<T>(), in.data<T>(), tape.value(b).data<T>(), in.size(), stream);
  });
  if (tape.needs_grad(y)) tape.record(AddNode{y, a, b});
  return y;
}

Var concat_channels(Tape& tape, Var a, Var b) {
  const Tensor in = tape.value(a), other = tape.value(b);
  const MapShape map = in.map();
  const MapShape joined{map.n, map.h, map.w, map.c + other.map().c};
  require_tensor(other, in.dtype(), MapShape{map.n, map.h, map.w, other.map().c}, "what is joined");
  const Var y = tape.output(in.dtype(), joined, tape.needs_grad(a) || tape.needs_grad(b));
  dispatch_network(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    concat_channels_forward(tape.value(y).data<T>(), in.data<T>(), other.data<T>(), joined, map.c, stream);
  });
  if (tape.needs_grad(y)) tape.record(ConcatChannelsNode{y, a, b});
  return y;
}

}  // namespace flowsmith::core
