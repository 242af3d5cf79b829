// The results of a convolution on the GPU.
#pragma once

#include "tests/support/conv_data.h"
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

struct GpuConvData : ConvData {
  using ConvData::ConvData;
  using ConvData::run;

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
