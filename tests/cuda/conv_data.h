// The results of a convolution on the GPU.
#pragma once

#include "tests/support/conv_data.h"
#include "tests/support/gpu_testing.h"

namespace flowsmith::core::testing {

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

/// Backward writes the gradients that are asked for, to the same bits whichever others are, and nothing else.
inline void check_single_gradients(const GpuConvData& data, const TestGpu& gpu) {
  const DeviceArray<float> x(data.x), dy(data.dy), weight(data.weight);
  const auto backward = [&](bool weights, bool biases) {
    DeviceArray<float> dweight(data.weight), dbias(data.bias);
    conv_backward_weights(weights ? dweight.grad() : Grad<float>{}, biases ? dbias.grad() : Grad<float>{}, dy.data(),
                          x.data(), data.shape, gpu);
    return outputs(dweight.host(), dbias.host());
  };
  const Outputs both = backward(true, true), before = outputs(data.weight, data.bias);
  CHECK(same_bits(backward(true, false)[0], both[0]));
  CHECK(same_bits(backward(true, false)[1], before[1]));
  CHECK(same_bits(backward(false, true)[0], before[0]));
  CHECK(same_bits(backward(false, true)[1], both[1]));
  CHECK(backward(false, false) == before);
  conv_backward_data(Grad<float>{}, dy.data(), x.data(), weight.data(), data.shape, gpu);
}

/// A batch of no images gives no outputs and gradients of zero.
inline void check_empty_batch(const TestGpu& gpu) {
  const ConvShape shape{0, 5, 3, 4, 3, 3, false};
  const DeviceArray<float> weight(random_normal<float>(shape.weight_size(), 1)), bias(random_normal<float>(3, 2));
  DeviceArray<float> nothing(1), dweight(shape.weight_size()), dbias(3);
  conv_forward(nothing.data(), nothing.data(), weight.data(), bias.data(), shape, gpu);
  conv_backward_data(nothing.grad(), nothing.data(), nothing.data(), weight.data(), shape, gpu);
  conv_backward_weights(dweight.grad(), dbias.grad(), nothing.data(), nothing.data(), shape, gpu);
  for (float value : dweight.host()) CHECK(value == 0);
  for (float value : dbias.host()) CHECK(value == 0);
}

}  // namespace flowsmith::core::testing
