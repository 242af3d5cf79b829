#include "kernels/permute.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct PermuteNode {
  Var out, in;
  Tensor order;

  void backward(Tape& tape) const {
    const Tensor dout = tape.finished_grad(out);
    dispatch_path(tape.device(), dout.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      permute_inverse(tape.grad<T>(in), dout.data<T>(), order.data<std::uint32_t>(), dout.map(), stream);
    });
  }
};

/// Checks what both directions need and returns the shape of z.
MapShape checked_shape(const Tape& tape, Var z, Tensor order) {
  const MapShape map = tape.value(z).map();
  require_tensor(order, DType::kU32, Shape{map.c}, "the order of the channels");
  return map;
}

}  // namespace

Var permute(Tape& tape, Var z, Tensor order) {
  const Tensor in = tape.value(z);
  const MapShape map = checked_shape(tape, z, order);
  const Var out = tape.recording() ? tape.output(in.dtype(), map, tape.needs_grad(z)) : z;
  dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    permute_forward(tape.value(out).data<T>(), in.data<T>(), order.data<std::uint32_t>(), map, stream);
  });
  if (tape.recording() && tape.needs_grad(out)) tape.record(PermuteNode{out, z, order});
  return out;
}

Var unpermute(Tape& tape, Var z_out, Tensor order) {
  const Tensor in = tape.value(z_out);
  const MapShape map = checked_shape(tape, z_out, order);
  const Var z = tape.recording() ? tape.output(in.dtype(), map, false) : z_out;
  dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    permute_inverse(Grad<T>{tape.value(z).data<T>()}, in.data<T>(), order.data<std::uint32_t>(), map, stream);
  });
  return z;
}

}  // namespace flowsmith::core
