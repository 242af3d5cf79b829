// Inputs of a gated block, and its results on a backend of the host.
#pragma once

#include "kernels/gated_block.h"
#include "tests/support/host_values.h"

namespace flowsmith::core::testing {

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

  /// y, h, vg, dx and the six gradients of the weights, which start from 1.
  template <class Backend>
  Outputs run(Backend backend, GradMode mode) const {
    using T = Real<float, Backend>;
    const std::vector<T> in = as<T>(x), w3 = as<T>(weight3), b3 = as<T>(bias3), w1 = as<T>(weight1), b1 = as<T>(bias1),
                         g = as<T>(gamma), b = as<T>(beta), out = as<T>(dy);
    const GatedBlockWeights<T> weights{w3.data(), b3.data(), w1.data(), b1.data(), g.data(), b.data()};
    std::vector<T> y(in.size()), h(in.size()), vg(2 * in.size()), dx(in.size(), 1), d3(w3.size(), 1), e3(b3.size(), 1),
        d1(w1.size(), 1), e1(b1.size(), 1), dg(g.size(), 1), db(b.size(), 1);
    gated_block_forward(y.data(), GatedBlockSaved<T>{h.data(), vg.data()}, in.data(), weights, shape, backend);
    const GatedBlockGrads<T> grads{{d3.data(), mode}, {e3.data(), mode}, {d1.data(), mode},
                                   {e1.data(), mode}, {dg.data(), mode}, {db.data(), mode}};
    gated_block_backward(Grad<T>{dx.data(), mode}, grads, out.data(), GatedBlockSaved<const T>{h.data(), vg.data()},
                         in.data(), weights, shape, backend);
    return outputs(y, h, vg, dx, d3, e3, d1, e1, dg, db);
  }
};

/// A NaN in one image must reach that image's results and all sums that x takes part in, and nothing else. `run` gives
/// the results of BlockData::run.
template <class Data = BlockData, class Run>
void check_spread_of_nan(const Run& run) {
  Data data({3, 5, 7, 20, true});
  const std::size_t size = data.shape.map().image_size();
  data.x[size + 17 * 20 + 3] = std::numeric_limits<float>::quiet_NaN();
  const Outputs got = run(data);
  for (int i : {0, 1, 3}) {
    int inside = 0, outside = 0;
    for (std::size_t k = 0; k < got[i].size(); ++k) (k / size == 1 ? inside : outside) += std::isnan(got[i][k]);
    CHECK(inside >= 9 * 20);  // the 3x3 window around the pixel, in all channels
    CHECK(outside == 0);
  }
  // All but dbeta, the sum of dy alone.
  for (int i = 4; i < 9; ++i) CHECK(std::any_of(got[i].begin(), got[i].end(), [](double v) { return v != v; }));
}

}  // namespace flowsmith::core::testing
