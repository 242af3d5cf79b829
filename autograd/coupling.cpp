#include "kernels/coupling.h"

#include "autograd/ops.h"

namespace flowsmith {
namespace {

struct ConditionerInputNode {
  Var input, z;
  int c_image;
  Mask mask;

  void backward(Tape& tape) const {
    const Tensor path = tape.value(z);
    const Tensor dinput = tape.finished_grad(input);
    dispatch_mixed(tape.device(), path.dtype(), dinput.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
      conditioner_input_backward(tape.grad<decltype(zero_z)>(z), dinput.data<decltype(zero_s)>(), c_image, path.map(),
                                 mask, stream);
    });
  }
};

struct CouplingNode {
  Var z_out, z, st, scaling_factor, logdet;
  Mask mask;

  void backward(Tape& tape) const {
    const Tensor path = tape.value(z), net = tape.value(st);
    dispatch_mixed(tape.device(), path.dtype(), net.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
      using Z = decltype(zero_z);
      using S = decltype(zero_s);
      coupling_backward(tape.grad<Z>(z), tape.grad<S>(st), tape.grad<S>(scaling_factor),
                        tape.finished_grad(z_out).data<Z>(), tape.finished_grad(logdet).data<double>(), path.data<Z>(),
                        net.data<S>(), tape.value(scaling_factor).data<S>(), path.map(), mask, stream);
    });
  }
};

/// Checks what both directions need and returns the shape of z.
MapShape checked_shape(const Tape& tape, Var z, Var st, Var scaling_factor) {
  const MapShape map = tape.value(z).map();
  const DType network = tape.value(st).dtype();
  require_tensor(tape.value(st), network, MapShape{map.n, map.h, map.w, 2 * map.c}, "the conditioner's output");
  require_tensor(tape.value(scaling_factor), network, Shape{map.c}, "scaling_factor");
  return map;
}

}  // namespace

Var conditioner_input(Tape& tape, Var z, Tensor image, Mask mask, DType network_type) {
  const Tensor path = tape.value(z);
  const MapShape map = path.map();
  const int c_image = image ? image.map().c : 0;
  if (image) require_tensor(image, DType::kU8, MapShape{map.n, map.h, map.w, c_image}, "the conditioning image");
  const Var input = tape.output(network_type, MapShape{map.n, map.h, map.w, map.c + c_image}, tape.needs_grad(z));
  dispatch_mixed(tape.device(), path.dtype(), network_type, [&](auto stream, auto zero_z, auto zero_s) {
    conditioner_input_forward(tape.value(input).data<decltype(zero_s)>(), path.data<decltype(zero_z)>(),
                              image ? image.data<std::uint8_t>() : nullptr, c_image, map, mask, stream);
  });
  if (tape.needs_grad(input)) tape.record(ConditionerInputNode{input, z, c_image, mask});
  return input;
}

Var coupling(Tape& tape, Var z, Var st, Var scaling_factor, Var logdet, Mask mask) {
  const Tensor path = tape.value(z), net = tape.value(st);
  const MapShape map = checked_shape(tape, z, st, scaling_factor);
  require_tensor(tape.value(logdet), DType::kF64, Shape{map.n}, "logdet");
  const bool needs_grad = tape.needs_grad(z) || tape.needs_grad(st) || tape.needs_grad(scaling_factor);
  const Var z_out = tape.recording() ? tape.output(path.dtype(), path.shape(), needs_grad) : z;
  dispatch_mixed(tape.device(), path.dtype(), net.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
    using Z = decltype(zero_z);
    using S = decltype(zero_s);
    coupling_forward(tape.value(z_out).data<Z>(), tape.value(logdet).data<double>(), path.data<Z>(), net.data<S>(),
                     tape.value(scaling_factor).data<S>(), map, mask, stream);
  });
  if (tape.recording() && needs_grad) tape.record(CouplingNode{z_out, z, st, scaling_factor, logdet, mask});
  return z_out;
}

void coupling_inverse(Tape& tape, Var z_out, Var st, Var scaling_factor, Mask mask) {
  const Tensor path = tape.value(z_out), net = tape.value(st);
  const MapShape map = checked_shape(tape, z_out, st, scaling_factor);
  dispatch_mixed(tape.device(), path.dtype(), net.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
    using Z = decltype(zero_z);
    using S = decltype(zero_s);
    coupling_inverse(path.data<Z>(), nullptr, path.data<Z>(), net.data<S>(), tape.value(scaling_factor).data<S>(), map,
                     mask, stream);
  });
}

void rebuild_coupling(Tape& tape, Var z_out, Var z, Var st, Var scaling_factor, Var logdet, Mask mask) {
  coupling_inverse(tape, z_out, st, scaling_factor, mask);
  tape.record(CouplingNode{z_out, z, st, scaling_factor, logdet, mask});
}

}  // namespace flowsmith
