// Convolution of the plain backend: worked examples for the window, the channels and the fused
// ELU-concat, then gradients at odd sizes.
#include <numeric>

#include "kernels/activation.h"
#include "kernels/conv.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

std::vector<double> conv(const std::vector<double>& x, const std::vector<double>& weight,
                         const std::vector<double>& bias, ConvShape shape) {
  std::vector<double> y(shape.y().size());
  conv_forward(y.data(), x.data(), weight.data(), bias.data(), shape, Reference{});
  return y;
}

TEST_CASE("a 3x3 window slides without being turned, over zero padding") {
  std::vector<double> x(6), weight(9);
  std::iota(x.begin(), x.end(), 1.0);
  std::iota(weight.begin(), weight.end(), 1.0);
  // Pixel (0,0): 5*1 + 6*2 + 8*4 + 9*5 + 1/2; and so on.
  const std::vector<double> want{94.5, 154.5, 106.5, 58.5, 91.5, 58.5};
  CHECK(conv(x, weight, {0.5}, {1, 2, 3, 1, 1, 3, false}) == want);
}

TEST_CASE("a 1x1 window is a matrix product over the channels") {
  const std::vector<double> weight{1, 10, 100, 2, 20, 200};  // [c_in = 2][c_out = 3]
  const std::vector<double> want{1 * 3 + 2 * 4 + 1, 10 * 3 + 20 * 4, 100 * 3 + 200 * 4};
  CHECK(conv({3, 4}, weight, {1, 0, 0}, {1, 1, 1, 2, 3, 1, false}) == want);
}

TEST_CASE("a fused ELU-concat is concat_elu_forward in front of the convolution") {
  const ConvShape fused{3, 3, 5, 6, 2, 3, true};
  ConvShape plain = fused;
  plain.concat_elu = false;
  const auto x = random_normal<double>(fused.x().size(), 1), weight = random_normal<double>(fused.weight_size(), 2);
  std::vector<double> a(plain.x().size());
  concat_elu_forward(a.data(), x.data(), fused.x(), Reference{});
  CHECK(same_bits(conv(x, weight, {1, 2}, fused), conv(a, weight, {1, 2}, plain)));
}

TEST_CASE("convolution gradients") {
  const ConvShape shapes[] = {
      {1, 1, 1, 1, 1, 3, false},  {1, 1, 1, 2, 3, 1, true},  {3, 3, 2, 3, 2, 3, false},
      {3, 3, 5, 2, 3, 3, true},   {1, 31, 1, 2, 1, 3, true}, {1, 1, 31, 1, 3, 3, false},
      {3, 1, 3, 31, 3, 1, false}, {1, 3, 3, 6, 31, 1, true}, {1, 2, 1, 1, 257, 3, false},
  };
  for (ConvShape shape : shapes) {
    CAPTURE(shape.n, shape.h, shape.w, shape.c_in, shape.c_out, shape.kernel, shape.concat_elu);
    const auto dy = random_normal<double>(shape.y().size(), 1);
    check_gradients(
        {random_off_kink(shape.x().size(), 2), random_normal<double>(shape.weight_size(), 3),
         random_normal<double>(shape.c_out, 4)},
        [&](const Inputs& in) { return dot(conv(in[0], in[1], in[2], shape), dy); },
        [&](const Inputs& in, const Gradients& gradients) {
          const double* x = shape.concat_elu ? in[0].data() : nullptr;  // the data gradient may not need it
          conv_backward_data(gradients[0], dy.data(), x, in[1].data(), shape, Reference{});
          conv_backward_weights(gradients[1], gradients[2], dy.data(), in[0].data(), shape, Reference{});
        });
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
