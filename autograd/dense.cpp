#include "kernels/dense.h"

#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct DenseNode {
  Var y, x, weight, bias;
  Activation activation;
  DenseShape shape;

  void backward(Tape& tape) const {
    const Tensor out = tape.value(y);
    dispatch_network(tape.device(), out.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      dense_backward(tape.grad<T>(x), tape.grad<T>(weight), tape.grad<T>(bias), tape.finished_grad(y).data<T>(),
                     out.data<T>(), tape.value(x).data<T>(), tape.value(weight).data<T>(), activation, shape, stream);
    });
  }
};

}  // namespace

Var dense(Tape& tape, Var x, Var weight, Var bias, Activation activation, MapShape output) {
  const Tensor in = tape.value(x), w = tape.value(weight);
  const MapShape map = in.map();
  require(w.shape().rank() == 2, "a dense layer's weight has two dimensions");
  const DenseShape shape{map.n, int(map.image_size()), w.shape()[1]};
  require_tensor(w, in.dtype(), Shape{shape.in, shape.out}, "a dense layer's weight");
  require_tensor(tape.value(bias), in.dtype(), Shape{shape.out}, "a dense layer's bias");
  require(output.n == shape.n && output.image_size() == std::size_t(shape.out),
          "a dense layer's output and the map it is seen as differ in size");
  const bool needs_grad = tape.needs_grad(x) || tape.needs_grad(weight) || tape.needs_grad(bias);
  const Var y = tape.output(in.dtype(), output, needs_grad);
  dispatch_network(tape.device(), in.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    dense_forward(tape.value(y).data<T>(), in.data<T>(), w.data<T>(), tape.value(bias).data<T>(), activation, shape,
                  stream);
  });
  if (tape.needs_grad(y)) tape.record(DenseNode{y, x, weight, bias, activation, shape});
  return y;
}

}  // namespace flowsmith::core
