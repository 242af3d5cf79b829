#include "kernels/additive_coupling.h"

#include "autograd/coupling.h"

namespace flowsmith::core {
namespace {

struct AdditiveCouplingNode {
  Var z_out, z, t;
  Mask mask;

  void backward(Tape& tape) const {
    const Tensor path = tape.value(z);
    dispatch_mixed(tape.device(), path.dtype(), tape.value(t).dtype(), [&](auto stream, auto zero_z, auto zero_s) {
      using Z = decltype(zero_z);
      using S = decltype(zero_s);
      additive_coupling_backward(tape.grad<Z>(z), tape.grad<S>(t), tape.finished_grad(z_out).data<Z>(), path.map(),
                                 mask, stream);
    });
  }
};

/// Checks what both directions need and returns the shape of z.
MapShape checked_shape(const Tape& tape, Var z, Var t, Mask mask) {
  const MapShape map = tape.value(z).map();
  require_mask(mask);
  require_tensor(tape.value(t), tape.value(t).dtype(), map, "the conditioner's output");
  return map;
}

}  // namespace

Var additive_coupling(Tape& tape, Var z, Var t, Mask mask) {
  const Tensor path = tape.value(z), net = tape.value(t);
  const MapShape map = checked_shape(tape, z, t, mask);
  const bool needs_grad = tape.needs_grad(z) || tape.needs_grad(t);
  const Var z_out = coupling_output(tape, z, needs_grad);
  dispatch_mixed(tape.device(), path.dtype(), net.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
    using Z = decltype(zero_z);
    additive_coupling_forward(tape.value(z_out).data<Z>(), path.data<Z>(), net.data<decltype(zero_s)>(), map, mask,
                              stream);
  });
  if (tape.recording() && needs_grad) tape.record(AdditiveCouplingNode{z_out, z, t, mask});
  return z_out;
}

void additive_coupling_inverse(Tape& tape, Var z_out, Var t, Mask mask) {
  const Tensor path = tape.value(z_out), net = tape.value(t);
  const MapShape map = checked_shape(tape, z_out, t, mask);
  dispatch_mixed(tape.device(), path.dtype(), net.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
    using Z = decltype(zero_z);
    additive_coupling_inverse(path.data<Z>(), path.data<Z>(), net.data<decltype(zero_s)>(), map, mask, stream);
  });
}

void rebuild_additive_coupling(Tape& tape, Var z_out, Var z, Var t, Mask mask) {
  additive_coupling_inverse(tape, z_out, t, mask);
  tape.record(AdditiveCouplingNode{z_out, z, t, mask});
}

}  // namespace flowsmith::core
