#include "kernels/squeeze.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct SqueezeNode {
  Var out, in;

  void backward(Tape& tape) const {
    const Tensor dout = tape.finished_grad(out);
    dispatch_path(tape.device(), dout.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      squeeze_inverse(tape.grad<T>(in), dout.data<T>(), tape.value(in).map(), stream);
    });
  }
};

}  // namespace

Var squeeze(Tape& tape, Var z) {
  const Tensor in = tape.value(z);
  const MapShape map = in.map();
  require(map.h % 2 == 0 && map.w % 2 == 0, "squeeze needs an even number of rows and columns");
  const Var out = tape.output(in.dtype(), MapShape{map.n, map.h / 2, map.w / 2, 4 * map.c}, tape.needs_grad(z));
  dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    squeeze_forward(tape.value(out).data<T>(), in.data<T>(), map, stream);
  });
  if (tape.needs_grad(out)) tape.record(SqueezeNode{out, z});
  return out;
}

Var unsqueeze(Tape& tape, Var z) {
  const Tensor in = tape.value(z);
  const MapShape map = in.map();
  require(map.c % 4 == 0, "un-squeeze needs a multiple of four channels");
  const MapShape wide{map.n, 2 * map.h, 2 * map.w, map.c / 4};
  const Var out = tape.output(in.dtype(), wide, false);
  dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    squeeze_inverse(Grad<T>{tape.value(out).data<T>()}, in.data<T>(), wide, stream);
  });
  return out;
}

}  // namespace flowsmith::core
