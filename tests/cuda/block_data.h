// The results of a gated block on the GPU.
#pragma once

#include "tests/support/block_data.h"
#include "tests/support/gpu_testing.h"

namespace flowsmith::core::testing {

struct GpuBlockData : BlockData {
  using BlockData::BlockData;
  using BlockData::run;

  /// The same on the GPU, with gradients only where `wanted` has a bit (bit 0: dx), and without saved maps if not
  /// `save`.
  Outputs run(NetPrecision precision, GradMode mode, unsigned wanted = ~0u, bool save = true,
              ConvAlgorithm conv = ConvAlgorithm::kFused) const {
    const TestGpu gpu = test_stream(precision, conv);
    const DeviceArray<float> in(x), w3(weight3), b3(bias3), w1(weight1), b1(bias1), g(gamma), b(beta), out(dy);
    const GatedBlockWeights<float> weights{w3.data(), b3.data(), w1.data(), b1.data(), g.data(), b.data()};
    DeviceArray<float> y(x.size()), h(x.size()), vg(2 * x.size());
    gated_block_forward(y.data(), save ? GatedBlockSaved<float>{h.data(), vg.data()} : GatedBlockSaved<float>{},
                        in.data(), weights, shape, gpu);
    if (!save) return outputs(y.host());
    std::vector<DeviceArray<float>> gradients;
    Grad<float> to[7];
    for (const std::vector<float>* like : {&x, &weight3, &bias3, &weight1, &bias1, &gamma, &beta}) {
      gradients.emplace_back(std::vector<float>(like->size(), 1));
      if ((wanted >> (gradients.size() - 1) & 1) != 0) to[gradients.size() - 1] = gradients.back().grad(mode);
    }
    gated_block_backward(to[0], {to[1], to[2], to[3], to[4], to[5], to[6]}, out.data(),
                         GatedBlockSaved<const float>{h.data(), vg.data()}, in.data(), weights, shape, gpu);
    Outputs all = outputs(y.host(), h.host(), vg.host());
    for (const DeviceArray<float>& gradient : gradients) all.push_back(outputs(gradient.host())[0]);
    return all;
  }
};

/// The layer norm divides by the standard deviation of a pixel's channels, and its gradient subtracts two means. Over
/// 16 channels and more that leaves the error of the products (conv_data.h), of which the gradients pass
/// four in a row instead of one; fewer channels may nearly agree, and lose one or two digits then.
inline double block_bound(NetPrecision precision, int channels) {
  const double of_products = precision == NetPrecision::kFp32 ? 2.5e-6 : precision == NetPrecision::kTf32 ? 5e-4 : 4e-3;
  return of_products * (channels < 16 ? 25 : 2);
}

}  // namespace flowsmith::core::testing
