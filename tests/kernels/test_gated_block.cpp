// The gated block of the plain backend: the oracle of the fused ones, so it is checked against PyTorch
// and against differences, not against itself.
#include "kernels/gated_block.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

constexpr auto kNoGradients = GatedBlockSaved<double>{nullptr, nullptr};

/// sin(0.7 i + phase): values that the PyTorch run below could make in the same way.
std::vector<double> wave(std::size_t size, double phase, double scale = 1) {
  std::vector<double> values(size);
  for (std::size_t i = 0; i < size; ++i) values[i] = scale * std::sin(0.7 * double(i) + phase);
  return values;
}

/// Inputs in the order x, weight3, bias3, weight1, bias1, gamma, beta.
GatedBlockWeights<double> weights_of(const Inputs& in) {
  return {in[1].data(), in[2].data(), in[3].data(), in[4].data(), in[5].data(), in[6].data()};
}

std::vector<double> gated_block(const Inputs& in, GatedBlockShape shape, GatedBlockSaved<double> saved) {
  std::vector<double> y(shape.map().size());
  gated_block_forward(y.data(), saved, in[0].data(), weights_of(in), shape, Reference{});
  return y;
}

TEST_CASE("gated_block_forward gives PyTorch's values in both editions") {
  // PyTorch 1.13, float64: elu, conv2d (padding 1), conv2d, sigmoid and layer_norm on the same waves.
  const std::vector<double> want_2024{1.0422917076268945,  1.1574134865840313, 1.7181889549209264, 0.31218157425485843,
                                      0.49668140762053964, 0.8366023143244837, 0.9846276256201425, 0.9483498633345107,
                                      1.996809925636069,   1.0428978062360252, 1.1612599296999182, 1.7115998562520998};
  const std::vector<double> want_2022{1.0425926669108938, 1.1593038038650891, 1.7149607259951871, 0.31520453298640994,
                                      0.4922365369124609, 0.8561922846530959, 0.9851863565268588, 0.949797338162872,
                                      1.9953938357539074, 1.0431815395809063, 1.163094951536883,  1.7084389699216616};
  for (bool concat_elu : {true, false}) {
    const GatedBlockShape shape{1, 2, 2, 3, concat_elu};
    const Inputs in{
        wave(12, 1), wave(shape.conv3().weight_size(), 2, 0.3), wave(3, 3), wave(36, 4), wave(6, 5), wave(3, 6),
        wave(3, 7)};
    // Some hundred double roundings, on both sides.
    CHECK(relative_error(gated_block(in, shape, kNoGradients), concat_elu ? want_2024 : want_2022) < 1e-13);
  }
}

TEST_CASE("gated_block gradients") {
  for (bool concat_elu : {true, false}) {
    for (GatedBlockShape shape : {GatedBlockShape{1, 1, 1, 1},
                                  {3, 3, 2, 3},
                                  {1, 1, 5, 2},
                                  {3, 2, 1, 5},
                                  {1, 31, 1, 1},
                                  {2, 1, 3, 3, true, 0.1}}) {
      shape.concat_elu_input = concat_elu;
      CAPTURE(shape.n, shape.h, shape.w, shape.c, concat_elu);
      const std::size_t size = shape.map().size(), c = shape.c;
      const auto dy = random_normal<double>(size, 1);
      // The inner h is not kept off the kink of elu; with these seeds no h is within a step of it.
      check_gradients(
          {random_off_kink(size, 2), random_normal<double>(shape.conv3().weight_size(), 3, 0.3),
           random_normal<double>(c, 4), random_normal<double>(shape.conv1().weight_size(), 5, 0.5),
           random_normal<double>(2 * c, 6), random_normal<double>(c, 7), random_normal<double>(c, 8)},
          [&](const Inputs& in) { return dot(gated_block(in, shape, kNoGradients), dy); },
          [&](const Inputs& in, const Gradients& g) {
            std::vector<double> h(size), vg(2 * size);
            gated_block(in, shape, {h.data(), vg.data()});
            const GatedBlockGrads<double> grads{g[1], g[2], g[3], g[4], g[5], g[6]};
            gated_block_backward(g[0], grads, dy.data(), GatedBlockSaved<const double>{h.data(), vg.data()},
                                 in[0].data(), weights_of(in), shape, Reference{});
          });
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
