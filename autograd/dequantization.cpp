#include "kernels/dequantization.h"

#include "autograd/ops.h"

namespace flowsmith {
namespace {

struct DequantizeNode {
  Tensor images;
  Var z, u, logdet;

  void backward(Tape& tape) const {
    const Tensor noise = tape.value(u);
    dispatch_path(tape.device(), noise.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      dequantize_backward(tape.grad<T>(u), tape.finished_grad(z).data<T>(), tape.finished_grad(logdet).data<double>(),
                          images.data<std::uint8_t>(), noise.data<T>(), noise.map().n, noise.map().image_size(),
                          stream);
    });
  }
};

struct SigmoidNode {
  Var u, v, logdet;

  void backward(Tape& tape) const {
    const Tensor in = tape.value(v);
    dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      sigmoid_backward(tape.grad<T>(v), tape.finished_grad(u).data<T>(), tape.finished_grad(logdet).data<double>(),
                       in.data<T>(), in.map().n, in.map().image_size(), stream);
    });
  }
};

void require_logdet(const Tape& tape, Var logdet, MapShape map) {
  require_tensor(tape.value(logdet), DType::kF64, Shape{map.n}, "logdet");
}

}  // namespace

Var dequantize(Tape& tape, Tensor images, Var u, Var logdet) {
  const Tensor noise = tape.value(u);
  const MapShape map = noise.map();
  require_tensor(images, DType::kU8, noise.shape(), "images");
  require_logdet(tape, logdet, map);
  const Var z = tape.output(noise.dtype(), noise.shape(), tape.needs_grad(u));
  dispatch_path(tape.device(), noise.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    dequantize_forward(tape.value(z).data<T>(), tape.value(logdet).data<double>(), images.data<std::uint8_t>(),
                       noise.data<T>(), map.n, map.image_size(), stream);
  });
  if (tape.needs_grad(z)) tape.record(DequantizeNode{images, z, u, logdet});
  return z;
}

Var logit(Tape& tape, Var u, Var logdet) {
  const Tensor noise = tape.value(u);
  const MapShape map = noise.map();
  require_logdet(tape, logdet, map);
  const Var v = tape.output(noise.dtype(), noise.shape(), false);
  dispatch_path(tape.device(), noise.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    logit_forward(tape.value(v).data<T>(), tape.value(logdet).data<double>(), noise.data<T>(), map.n, map.image_size(),
                  stream);
  });
  return v;
}

Var sigmoid(Tape& tape, Var v, Var logdet) {
  const Tensor in = tape.value(v);
  const MapShape map = in.map();
  require_logdet(tape, logdet, map);
  const Var u = tape.output(in.dtype(), in.shape(), tape.needs_grad(v));
  dispatch_path(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    sigmoid_forward(tape.value(u).data<T>(), tape.value(logdet).data<double>(), in.data<T>(), map.n, map.image_size(),
                    stream);
  });
  if (tape.needs_grad(u)) tape.record(SigmoidNode{u, v, logdet});
  return u;
}

}  // namespace flowsmith
