// Inputs of a gated block, and its results on the reference and on the GPU.
#pragma once

#include "kernels/gated_block.h"
#include "tests/support/gpu_testing.h"

namespace flowsmith::testing {

struct BlockData {
  GatedBlockShape shape;
  std::vector<float> x, weight3, bias3, weight1, bias1, gamma, beta, dy;

  explicit BlockData(GatedBlockShape s)
      : shape(s),
        x(random_normal<float>(s.map().size(), 1)),
        weight3(random_normal<float>(s.conv3().weight_size(), 2, 1 / std::sqrt(9.0 * s.conv3().c_in))),
        bias3(random_normal<float>(s.c, 3)),
        weight1(random_normal<float>(s.conv1().weight_size(), 4, 1 / std::sqrt(2.0 * s.c))),
        bias1(random_normal<float>(2 * s.c, 5)),
        gamma(random_normal<float>(s.c, 6)),
        beta(random_normal<float>(s.c, 7)),
        dy(random_normal<float>(s.map().size(), 8)) {}

  /// y, h, vg, dx and the six gradients of the weights; gradients start from 1.
  Outputs run(Reference backend, GradMode mode) const {
    const auto wide = [](const std::vector<float>& from) { return std::vector<double>(from.begin(), from.end()); };
    const std::vector<double> in = wide(x), w3 = wide(weight3), b3 = wide(bias3), w1 = wide(weight1), b1 = wide(bias1),
                              g = wide(gamma), b = wide(beta), out = wide(dy);
    const GatedBlockWeights<double> weights{w3.data(), b3.data(), w1.data(), b1.data(), g.data(), b.data()};
    std::vector<double> y(in.size()), h(in.size()), vg(2 * in.size()), dx(in.size(), 1), d3(w3.size(), 1),
        e3(b3.size(), 1), d1(w1.size(), 1), e1(b1.size(), 1), dg(g.size(), 1), db(b.size(), 1);
    gated_block_forward(y.data(), GatedBlockSaved<double>{h.data(), vg.data()}, in.data(), weights, shape, backend);
    gated_block_backward(Grad<double>{dx.data(), mode},
                         {{d3.data(), mode},
                          {e3.data(), mode},
                          {d1.data(), mode},
                          {e1.data(), mode},
                          {dg.data(), mode},
                          {db.data(), mode}},
                         out.data(), GatedBlockSaved<const double>{h.data(), vg.data()}, in.data(), weights, shape,
                         backend);
    return outputs(y, h, vg, dx, d3, e3, d1, e1, dg, db);
  }

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

}  // namespace flowsmith::testing
