#include "autograd/activation.h"
#include "autograd/ops.h"

namespace flowsmith::core {
namespace {

struct ConvNode {
  Var y, x, weight, bias;
  Activation activation;
  ConvShape shape;

  void backward(Tape& tape) const {
    const Tensor dy = finished_grad_before(tape, y, activation);
    dispatch_network(tape.device(), dy.dtype(), [&](auto stream, auto zero) {
      using T = decltype(zero);
      const T* const in = tape.value(x).data<T>();
      if (const Grad<T> dx = tape.grad<T>(x)) {
        conv_backward_data(dx, dy.data<T>(), in, tape.value(weight).data<T>(), shape, stream);
      }
      conv_backward_weights(tape.grad<T>(weight), tape.grad<T>(bias), dy.data<T>(), in, shape, stream);
    });
  }
};

}  // namespace

Var conv(Tape& tape, Var x, Var weight, Var bias, bool concat_elu, ConvMask x_mask, ConvMask y_mask,
         Activation activation) {
  const MapShape in = tape.value(x).map();
  const DType dtype = tape.value(x).dtype();
  const Shape w = tape.value(weight).shape();
  require(w.rank() == 4 && w[0] == w[1] && (w[0] == 1 || w[0] == 3), "a convolution window is 1x1 or 3x3");
  const ConvShape shape{in.n, in.h, in.w, w[2], w[3], w[0], concat_elu, x_mask, y_mask};
  require(shape.x_channels() == in.c && shape.c_in == in.c * (concat_elu ? 2 : 1),
          "a convolution's weight and input differ in their number of channels");
  require_tensor(tape.value(bias), dtype, Shape{shape.c_out}, "a convolution's bias");
  const bool needs_grad = tape.needs_grad(x) || tape.needs_grad(weight) || tape.needs_grad(bias);
  const Var y = tape.output(dtype, shape.y(), needs_grad);
  dispatch_network(tape.device(), dtype, [&](auto stream, auto zero) {
    using T = decltype(zero);
    conv_forward(tape.value(y).data<T>(), tape.value(x).data<T>(), tape.value(weight).data<T>(),
                 tape.value(bias).data<T>(), shape, stream);
  });
  activate(tape, y, activation);
  if (tape.needs_grad(y)) tape.record(ConvNode{y, x, weight, bias, activation, shape});
  return y;
}

}  // namespace flowsmith::core
