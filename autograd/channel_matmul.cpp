#include "kernels/channel_matmul.h"

#include "autograd/ops.h"
#include "kernels/matrix_inverse.h"

namespace flowsmith::core {
namespace {

struct ChannelMatmulNode {
  Var z_out, z, weight;

  void backward(Tape& tape) const {
    const Tensor path = tape.value(z), matrix = tape.value(weight);
    dispatch_mixed(tape.device(), path.dtype(), matrix.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
      using Z = decltype(zero_z);
      using S = decltype(zero_s);
      const Z* const dz_out = tape.finished_grad(z_out).data<Z>();
      channel_matmul_backward(tape.grad<Z>(z), tape.grad<S>(weight), dz_out, path.data<Z>(), matrix.data<S>(),
                              path.map(), stream);
    });
  }
};

struct LogAbsDetNode {
  Var log_abs_det, weight;
  Tensor inverse;

  void backward(Tape& tape) const {
    const double* const gradient = tape.finished_grad(log_abs_det).data<double>();
    dispatch_network(tape.device(), tape.value(weight).dtype(), [&](auto stream, auto zero) {
      log_abs_det_backward(tape.grad<decltype(zero)>(weight), gradient, inverse.data<double>(), inverse.shape()[0],
                           stream);
    });
  }
};

/// Checks what both directions need and returns the shape of z.
MapShape checked_shape(const Tape& tape, Var z, Var weight, Var logdet) {
  const MapShape map = tape.value(z).map();
  require_tensor(tape.value(weight), tape.value(weight).dtype(), Shape{map.c, map.c}, "the weight of the channels");
  if (logdet.id >= 0) require_tensor(tape.value(logdet), DType::kF64, Shape{map.n}, "logdet");
  return map;
}

/// Either result may be null.
void invert(const Tape& tape, Tensor weight, double* inverse, double* log_abs_det) {
  dispatch_network(tape.device(), weight.dtype(), [&](auto stream, auto zero) {
    matrix_inverse(inverse, log_abs_det, weight.data<decltype(zero)>(), weight.shape()[0], stream);
  });
}

}  // namespace

Var log_abs_det(Tape& tape, Var weight) {
  const Tensor matrix = tape.value(weight);
  const int c = matrix.shape()[0];
  require_tensor(matrix, matrix.dtype(), Shape{c, c}, "a weight with a determinant");
  const Var result = tape.output(DType::kF64, Shape{}, tape.needs_grad(weight));
  const bool gradient = tape.needs_grad(result);
  const Tensor inverse = gradient ? tape.arena().tensor(DType::kF64, Shape{c, c}) : Tensor{};
  invert(tape, matrix, gradient ? inverse.data<double>() : nullptr, tape.value(result).data<double>());
  if (gradient) tape.record(LogAbsDetNode{result, weight, inverse});
  return result;
}

Var channel_matmul(Tape& tape, Var z, Var weight, Var logdet) {
  const MapShape map = checked_shape(tape, z, weight, logdet);
  const Tensor path = tape.value(z), matrix = tape.value(weight);
  const bool needs_grad = tape.needs_grad(z) || tape.needs_grad(weight);
  const Var z_out = tape.recording() ? tape.output(path.dtype(), map, needs_grad) : z;
  dispatch_mixed(tape.device(), path.dtype(), matrix.dtype(), [&](auto stream, auto zero_z, auto zero_s) {
    using Z = decltype(zero_z);
    channel_matmul_forward(tape.value(z_out).data<Z>(), path.data<Z>(), matrix.data<decltype(zero_s)>(), map, stream);
  });
  if (tape.recording() && needs_grad) tape.record(ChannelMatmulNode{z_out, z, weight});
  if (logdet.id >= 0) {
    const TapeScope scope(tape);
    add_shared_logdet(tape, log_abs_det(tape, weight), double(map.pixels()), logdet);
  }
  return z_out;
}

Var channel_matmul_inverse(Tape& tape, Var z_out, Var weight, Var logdet) {
  const MapShape map = checked_shape(tape, z_out, weight, logdet);
  const Tensor path = tape.value(z_out);
  const Var z = tape.recording() ? tape.output(path.dtype(), map, false) : z_out;
  const TapeScope scope(tape);
  const Tensor inverse = tape.arena().tensor(DType::kF64, Shape{map.c, map.c});
  const Var log_det = tape.output(DType::kF64, Shape{}, false);
  invert(tape, tape.value(weight), inverse.data<double>(), tape.value(log_det).data<double>());
  dispatch_path(tape.device(), path.dtype(), [&](auto stream, auto zero) {
    using Z = decltype(zero);
    channel_matmul_forward(tape.value(z).data<Z>(), path.data<Z>(), inverse.data<double>(), map, stream);
  });
  if (logdet.id >= 0) add_shared_logdet(tape, log_det, -double(map.pixels()), logdet);
  return z;
}

}  // namespace flowsmith::core
