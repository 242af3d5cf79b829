// Inputs of a convolution, and its results on a backend of the host.
#pragma once

#include "kernels/conv.h"
#include "tests/support/host_values.h"

namespace flowsmith::core::testing {

struct ConvData {
  ConvShape shape;
  std::vector<float> x, weight, bias, dy;

  explicit ConvData(ConvShape s)
      : shape(s),
        x(random_normal<float>(s.x().size(), 1)),
        weight(random_normal<float>(s.weight_size(), 2)),
        bias(random_normal<float>(s.c_out, 3)),
        dy(random_normal<float>(s.y().size(), 4)) {
    for (float& value : dy) value += 1;  // so that sums over a batch do not cancel, which would hide their digits
  }

  /// y, dx, dweight, dbias; the gradients start from 1.
  template <class Backend>
  Outputs run(Backend backend, GradMode mode) const {
    using T = Real<float, Backend>;
    std::vector<T> y(dy.size()), dx(x.size(), 1), dweight(weight.size(), 1), dbias(bias.size(), 1);
    const std::vector<T> in = as<T>(x), w = as<T>(weight), b = as<T>(bias), out = as<T>(dy);
    conv_forward(y.data(), in.data(), w.data(), b.data(), shape, backend);
    conv_backward_data(Grad<T>{dx.data(), mode}, out.data(), shape.concat_elu ? in.data() : nullptr, w.data(), shape,
                       backend);
    conv_backward_weights(Grad<T>{dweight.data(), mode}, Grad<T>{dbias.data(), mode}, out.data(), in.data(), shape,
                          backend);
    return outputs(y, dx, dweight, dbias);
  }
};

}  // namespace flowsmith::core::testing
