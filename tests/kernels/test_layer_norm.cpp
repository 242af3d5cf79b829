// Channel layer norm of the plain backend.
#include "kernels/layer_norm.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

std::vector<double> layer_norm(const std::vector<double>& x, const std::vector<double>& gamma,
                               const std::vector<double>& beta, MapShape shape) {
  std::vector<double> y(shape.size());
  layer_norm_forward(y.data(), x.data(), gamma.data(), beta.data(), shape, kLayerNormEps, Reference{});
  return y;
}

TEST_CASE("each pixel is normalised over its own channels") {
  const auto y = layer_norm({1, 2, 4, 10, 20, 40}, {1, 2, 1}, {0, 0, 5}, {1, 1, 2, 3});
  // torch.nn.functional.layer_norm (PyTorch 1.13, float64) of the first pixel.
  CHECK(y[0] == Approx(-1.0690415314502979).epsilon(1e-14));
  CHECK(y[1] == Approx(2 * -0.26726038286257459).epsilon(1e-14));
  CHECK(y[2] == Approx(5 + 1.3363019143128718).epsilon(1e-14));
  CHECK(y[3] == Approx(y[0]).epsilon(1e-5));  // ten times the values; only eps differs
}

TEST_CASE("one channel and equal channels give beta, with no gradient for x") {
  CHECK(layer_norm({7, -3}, {2}, {0.5}, {1, 1, 2, 1}) == std::vector<double>{0.5, 0.5});
  CHECK(layer_norm({4, 4, 4}, {2, 2, 2}, {1, 2, 3}, {1, 1, 1, 3}) == std::vector<double>{1, 2, 3});
  const std::vector<double> x{7, -3}, dy{1, 2}, gamma{2};
  std::vector<double> dx(2, NAN);
  layer_norm_backward(Grad<double>{dx.data()}, {}, {}, dy.data(), x.data(), gamma.data(), {1, 1, 2, 1}, kLayerNormEps,
                      Reference{});
  CHECK(dx == std::vector<double>{0, 0});
}

TEST_CASE("layer_norm gradients") {
  for (MapShape shape : {MapShape{1, 1, 1, 1}, {3, 1, 31, 2}, {3, 3, 1, 3}, {1, 1, 3, 31}, {1, 1, 1, 257}}) {
    CAPTURE(shape.n, shape.h, shape.w, shape.c);
    const auto dy = random_normal<double>(shape.size(), 1);
    // Neighbouring channels are set apart: where all of a pixel are nearly equal only eps = 1e-5 is left under
    // the root, and differences with a step of 1e-5 would not resolve the derivative.
    std::vector<double> x = random_normal<double>(shape.size(), 2);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += 4.0 * (i % shape.c % 2);
    check_gradients(
        {x, random_normal<double>(shape.c, 3), random_normal<double>(shape.c, 4)},
        [&](const Inputs& in) { return dot(layer_norm(in[0], in[1], in[2], shape), dy); },
        [&](const Inputs& in, const Gradients& gradients) {
          layer_norm_backward(gradients[0], gradients[1], gradients[2], dy.data(), in[0].data(), in[1].data(), shape,
                              kLayerNormEps, Reference{});
        });
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
