#include "kernels/channel_affine.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct ChannelAffineNode {
  Var z_out, z, log_scale, bias;
  double factor;
  Var logdet;

  void backward(Tape& tape) const {
    const Tensor path = tape.value(z), scales = tape.value(log_scale);
    const double* const dlogdet = logdet ? tape.finished_grad(logdet).data<double>() : nullptr;
    dispatch_mixed(tape.device(), path.dtype(), scales.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
      using Z = decltype(zero_z);
      using S = decltype(zero_s);
      channel_affine_backward(tape.grad<Z>(z), tape.grad<S>(log_scale), tape.grad<S>(bias),
                              tape.finished_grad(z_out).data<Z>(), dlogdet, path.data<Z>(), scales.data<S>(),
                              tape.data_or_null<S>(bias), factor, path.map(), stream);
    });
  }
};

/// Checks what both directions need and returns the shape of z.
MapShape checked_shape(const Tape& tape, Var z, Var log_scale, Var bias, Var logdet) {
  const MapShape map = tape.value(z).map();
  const DType type = tape.value(log_scale).dtype();
  require_tensor(tape.value(log_scale), type, Shape{map.c}, "log_scale");
  if (bias) require_tensor(tape.value(bias), type, Shape{map.c}, "bias");
  if (logdet) require_tensor(tape.value(logdet), DType::kF64, Shape{map.n}, "logdet");
  return map;
}

}  // namespace

Var channel_affine(Tape& tape, Var z, Var log_scale, Var bias, double factor, Var logdet) {
  const Tensor path = tape.value(z), scales = tape.value(log_scale);
  const MapShape map = checked_shape(tape, z, log_scale, bias, logdet);
  const bool needs_grad = tape.needs_grad(z) || tape.needs_grad(log_scale) || tape.needs_grad(bias);
  const bool in_place = logdet && !tape.recording();
  const Var z_out = in_place ? z : tape.output(path.dtype(), path.shape(), needs_grad);
  dispatch_mixed(tape.device(), path.dtype(), scales.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
    using Z = decltype(zero_z);
    using S = decltype(zero_s);
    channel_affine_forward(tape.value(z_out).data<Z>(), tape.data_or_null<double>(logdet), path.data<Z>(),
                           scales.data<S>(), tape.data_or_null<S>(bias), factor, map, stream);
  });
  if (tape.recording() && needs_grad) {
    tape.record(ChannelAffineNode{z_out, z, log_scale, bias, factor, logdet});
  }
  return z_out;
}

void channel_affine_inverse(Tape& tape, Var z_out, Var log_scale, Var bias, double factor, Var logdet) {
  const Tensor path = tape.value(z_out), scales = tape.value(log_scale);
  const MapShape map = checked_shape(tape, z_out, log_scale, bias, logdet);
  dispatch_mixed(tape.device(), path.dtype(), scales.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
    using Z = decltype(zero_z);
    using S = decltype(zero_s);
    channel_affine_inverse(path.data<Z>(), tape.data_or_null<double>(logdet), path.data<Z>(), scales.data<S>(),
                           tape.data_or_null<S>(bias), factor, map, stream);
  });
}

}  // namespace flowsmith::core
