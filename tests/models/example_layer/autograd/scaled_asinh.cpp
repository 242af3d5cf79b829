#include "tests/models/example_layer/kernels/scaled_asinh.h"

#include "tests/models/example_layer/autograd/ops.h"

namespace flowsmith::core {
namespace {

struct ScaledAsinhNode {
  Var z, x;
  double a;
  Var logdet;

  void backward(Tape& tape) const {
    const Tensor in = tape.value(x);
    dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      scaled_asinh_backward(tape.grad<T>(x), tape.finished_grad(z).data<T>(), tape.finished_grad(logdet).data<double>(),
                            in.data<T>(), a, in.map().n, in.map().image_size(), stream);
    });
  }
};

}  // namespace

Var scaled_asinh(Tape& tape, Var x, double a, Var logdet) {
  const Tensor in = tape.value(x);
  const MapShape map = in.map();
  require_tensor(tape.value(logdet), DType::kF64, Shape{map.n}, "logdet");
  const Var z = tape.recording() ? tape.output(in.dtype(), map, tape.needs_grad(x)) : x;
  dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    scaled_asinh_forward(tape.value(z).data<T>(), tape.value(logdet).data<double>(), in.data<T>(), a, map.n,
                         map.image_size(), stream);
  });
  if (tape.recording() && tape.needs_grad(x)) tape.record(ScaledAsinhNode{z, x, a, logdet});
  return z;
}

void scaled_asinh_inverse(Tape& tape, Var z, double a, Var logdet) {
  const Tensor out = tape.value(z);
  const MapShape map = out.map();
  if (logdet) require_tensor(tape.value(logdet), DType::kF64, Shape{map.n}, "logdet");
  dispatch_path(tape.device(), out.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    scaled_asinh_inverse(out.data<T>(), tape.data_or_null<double>(logdet), out.data<T>(), a, map.n, map.image_size(),
                         stream);
  });
}

}  // namespace flowsmith::core
