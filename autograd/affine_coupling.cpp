#include "kernels/affine_coupling.h"

#include "autograd/coupling.h"

namespace flowsmith::core {
namespace {

template <class S>
const S* scaling_data(const Tape& tape, Var scaling_factor) {
  return given(scaling_factor) ? tape.value(scaling_factor).data<S>() : nullptr;
}

struct AffineCouplingNode {
  Var z_out, z, st, scaling_factor, logdet;
  Mask mask;
  AffineForm form;

  void backward(Tape& tape) const {
    const Tensor path = tape.value(z), net = tape.value(st);
    dispatch_mixed(tape.device(), path.dtype(), net.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
      using Z = decltype(zero_z);
      using S = decltype(zero_s);
      affine_coupling_backward(
          tape.grad<Z>(z), tape.grad<S>(st), given(scaling_factor) ? tape.grad<S>(scaling_factor) : Grad<S>{},
          tape.finished_grad(z_out).data<Z>(), tape.finished_grad(logdet).data<double>(), path.data<Z>(), net.data<S>(),
          scaling_data<S>(tape, scaling_factor), path.map(), mask, form, stream);
    });
  }
};

/// Checks what both directions need and returns the shape of z.
MapShape checked_shape(const Tape& tape, Var z, Var st, Var scaling_factor, Mask mask, AffineForm form) {
  const MapShape map = tape.value(z).map();
  const DType network = tape.value(st).dtype();
  require_mask(mask);
  require_tensor(tape.value(st), network, MapShape{map.n, map.h, map.w, 2 * map.c}, "the conditioner's output");
  require(given(scaling_factor) == (form.bound == ScaleBound::kLearnedTanh),
          "an affine coupling has a scaling_factor if its bound is the learned tanh, and only then");
  if (given(scaling_factor)) require_tensor(tape.value(scaling_factor), network, Shape{map.c}, "scaling_factor");
  return map;
}

}  // namespace

Var affine_coupling(Tape& tape, Var z, Var st, Var scaling_factor, Var logdet, Mask mask, AffineForm form) {
  const Tensor path = tape.value(z), net = tape.value(st);
  const MapShape map = checked_shape(tape, z, st, scaling_factor, mask, form);
  require_tensor(tape.value(logdet), DType::kF64, Shape{map.n}, "logdet");
  const bool needs_grad =
      tape.needs_grad(z) || tape.needs_grad(st) || (given(scaling_factor) && tape.needs_grad(scaling_factor));
  const Var z_out = coupling_output(tape, z, needs_grad);
  dispatch_mixed(tape.device(), path.dtype(), net.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
    using Z = decltype(zero_z);
    using S = decltype(zero_s);
    affine_coupling_forward(tape.value(z_out).data<Z>(), tape.value(logdet).data<double>(), path.data<Z>(),
                            net.data<S>(), scaling_data<S>(tape, scaling_factor), map, mask, form, stream);
  });
  if (tape.recording() && needs_grad) {
    tape.record(AffineCouplingNode{z_out, z, st, scaling_factor, logdet, mask, form});
  }
  return z_out;
}

void affine_coupling_inverse(Tape& tape, Var z_out, Var st, Var scaling_factor, Var logdet, Mask mask,
                             AffineForm form) {
  const Tensor path = tape.value(z_out), net = tape.value(st);
  const MapShape map = checked_shape(tape, z_out, st, scaling_factor, mask, form);
  if (given(logdet)) require_tensor(tape.value(logdet), DType::kF64, Shape{map.n}, "logdet");
  dispatch_mixed(tape.device(), path.dtype(), net.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
    using Z = decltype(zero_z);
    using S = decltype(zero_s);
    affine_coupling_inverse(path.data<Z>(), given(logdet) ? tape.value(logdet).data<double>() : nullptr, path.data<Z>(),
                            net.data<S>(), scaling_data<S>(tape, scaling_factor), map, mask, form, stream);
  });
}

void rebuild_affine_coupling(Tape& tape, Var z_out, Var z, Var st, Var scaling_factor, Var logdet, Mask mask,
                             AffineForm form) {
  affine_coupling_inverse(tape, z_out, st, scaling_factor, Var{}, mask, form);
  tape.record(AffineCouplingNode{z_out, z, st, scaling_factor, logdet, mask, form});
}

}  // namespace flowsmith::core
