#include "kernels/batch_norm.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct BatchNormNode {
  Var y, x, gamma, beta, logdet;
  const double *mean, *var;
  double eps;
  NormStatistics statistics;
  Activation activation;

  void backward(Tape& tape) const {
    const Tensor in = tape.value(x), dy = tape.finished_grad(y);
    const double* const dlogdet = logdet ? tape.finished_grad(logdet).data<double>() : nullptr;
    dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      batch_norm_backward(tape.grad<T>(x), tape.grad<T>(gamma), tape.grad<T>(beta), dy.data<T>(), dlogdet, in.data<T>(),
                          mean, var, tape.data_or_null<T>(gamma), tape.data_or_null<T>(beta), eps, activation,
                          statistics, in.map(), stream);
    });
  }
};

void require_moments(const ChannelMoments& moments, int c) {
  require_tensor(moments.mean, DType::kF64, Shape{c}, "batch norm's mean");
  require_tensor(moments.var, DType::kF64, Shape{c}, "batch norm's variance");
}

/// Checks what all directions need and returns the shape of x.
MapShape checked_shape(const Tape& tape, Var x, Var logdet, const ChannelMoments& moments, double eps) {
  const MapShape map = tape.value(x).map();
  require_moments(moments, map.c);
  if (logdet) require_tensor(tape.value(logdet), DType::kF64, Shape{map.n}, "logdet");
  require(eps > 0, "batch norm needs an eps above 0: a channel of one value has variance 0");
  return map;
}

Var normalise(Tape& tape, Var x, Var gamma, Var beta, Var logdet, const ChannelMoments& moments, double eps,
              NormStatistics statistics, Activation activation) {
  const Tensor in = tape.value(x);
  const MapShape map = checked_shape(tape, x, logdet, moments, eps);
  require(bool(gamma) == bool(beta), "batch norm takes gamma and beta together, or neither");
  require(!gamma || !logdet,
          "batch norm in a flow has no gamma, which may be 0: put a channel_affine behind it, whose scale is positive");
  require(activation == Activation::kNone || gamma, "batch norm in a flow has no activation, which is no bijection");
  if (gamma) require_tensor(tape.value(gamma), in.dtype(), Shape{map.c}, "gamma");
  if (beta) require_tensor(tape.value(beta), in.dtype(), Shape{map.c}, "beta");
  const bool of_batch = statistics == NormStatistics::kOfBatch;
  require(!of_batch || map.n >= 2,
          "batch norm in training needs at least two images in a batch: choose a larger batch size");
  const bool needs_grad = tape.needs_grad(x) || tape.needs_grad(gamma) || tape.needs_grad(beta);
  const bool in_place = logdet && !tape.recording();
  const Var y = in_place ? x : tape.output(in.dtype(), in.shape(), needs_grad);
  double *const mean = moments.mean.data<double>(), *const var = moments.var.data<double>();
  dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    if (of_batch) batch_moments(mean, var, in.data<T>(), map, stream);
    batch_norm_forward(tape.value(y).data<T>(), tape.data_or_null<double>(logdet), in.data<T>(), mean, var,
                       tape.data_or_null<T>(gamma), tape.data_or_null<T>(beta), eps, activation, map, stream);
  });
  if (tape.recording() && needs_grad) {
    tape.record(BatchNormNode{y, x, gamma, beta, logdet, mean, var, eps, statistics, activation});
  }
  return y;
}

}  // namespace

Var batch_norm(Tape& tape, Var x, Var gamma, Var beta, Var logdet, ChannelMoments batch, double eps,
               Activation activation) {
  return normalise(tape, x, gamma, beta, logdet, batch, eps, NormStatistics::kOfBatch, activation);
}

Var batch_norm_fixed(Tape& tape, Var x, Var gamma, Var beta, Var logdet, ChannelMoments fixed, double eps,
                     Activation activation) {
  return normalise(tape, x, gamma, beta, logdet, fixed, eps, NormStatistics::kFixed, activation);
}

void batch_norm_inverse(Tape& tape, Var y, Var logdet, ChannelMoments fixed, double eps) {
  const Tensor out = tape.value(y);
  const MapShape map = checked_shape(tape, y, logdet, fixed, eps);
  dispatch_path(tape.device(), out.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    batch_norm_inverse(out.data<T>(), tape.data_or_null<double>(logdet), out.data<T>(), fixed.mean.data<double>(),
                       fixed.var.data<double>(), eps, map, stream);
  });
}

void update_running(Device device, ChannelMoments running, ChannelMoments batch, std::size_t count, double momentum,
                    const Tensor& loss, const Tensor& squared_norm) {
  const int c = int(running.mean.size());
  require_moments(running, c);
  require_moments(batch, c);
  require_tensor(loss, DType::kF64, Shape{}, "a loss");
  require_tensor(squared_norm, DType::kF64, Shape{}, "the squared norm of a gradient");
  require(count >= 2, "batch norm needs at least two values per channel");
  dispatch_device(device, [&](auto stream) {
    update_running(running.mean.data<double>(), running.var.data<double>(), batch.mean.data<double>(),
                   batch.var.data<double>(), c, count, momentum, loss.data<double>(), squared_norm.data<double>(),
                   stream);
  });
}

}  // namespace flowsmith::core
