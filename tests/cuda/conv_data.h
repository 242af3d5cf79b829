// Inputs of a convolution, and its results on the reference and on the GPU.
#pragma once

#include "kernels/conv.h"
#include "tests/support/gpu_testing.h"

namespace flowsmith::testing {

/// Relative to the norm of a result. kFp32: a float sum of L products is off by about sqrt(L) roundings of 6e-8, and no
/// sum here is longer than 9 * 514. kTf32 rounds each factor to 11 significant bits: errors are even in [-2^-11, 2^-11]
/// times the value, 2^-11 / sqrt(3) = 2.8e-4 on average and less for most mantissas; two factors make 1.41 of it, and
/// as errors of different products are independent, a sum's relative error is that of its products. kBf16 keeps 8 bits:
/// 8 times as much.
inline double conv_bound(NetPrecision precision) {
  switch (precision) {
    case NetPrecision::kFp32:
      return 5e-6;
    case NetPrecision::kTf32:
      return 5e-4;
    case NetPrecision::kBf16:
      return 4e-3;
  }
  return 0;
}

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
  Outputs run(Reference backend, GradMode mode) const {
    std::vector<double> y(dy.size()), dx(x.size(), 1), dweight(weight.size(), 1), dbias(bias.size(), 1);
    const std::vector<double> in(x.begin(), x.end()), w(weight.begin(), weight.end()), b(bias.begin(), bias.end()),
        out(dy.begin(), dy.end());
    conv_forward(y.data(), in.data(), w.data(), b.data(), shape, backend);
    conv_backward_data(Grad<double>{dx.data(), mode}, out.data(), in.data(), w.data(), shape, backend);
    conv_backward_weights(Grad<double>{dweight.data(), mode}, Grad<double>{dbias.data(), mode}, out.data(), in.data(),
                          shape, backend);
    return outputs(y, dx, dweight, dbias);
  }

  Outputs run(NetPrecision precision, GradMode mode, ConvAlgorithm conv = ConvAlgorithm::kFused) const {
    const TestGpu gpu = test_stream(precision, conv);
    const DeviceArray<float> in(x), w(weight), b(bias), out(dy);
    DeviceArray<float> y(dy.size()), dx(std::vector<float>(x.size(), 1)), dweight(std::vector<float>(weight.size(), 1)),
        dbias(std::vector<float>(bias.size(), 1));
    conv_forward(y.data(), in.data(), w.data(), b.data(), shape, gpu);
    conv_backward_data(dx.grad(mode), out.data(), shape.concat_elu ? in.data() : nullptr, w.data(), shape, gpu);
    conv_backward_weights(dweight.grad(mode), dbias.grad(mode), out.data(), in.data(), shape, gpu);
    return outputs(y.host(), dx.host(), dweight.host(), dbias.host());
  }
};

}  // namespace flowsmith::testing
