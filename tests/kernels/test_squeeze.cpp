// Squeeze: the printed example, the round trip, and both gradient modes.
#include <numeric>

#include "kernels/squeeze.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

TEST_CASE("squeeze turns 2x2 squares into channels") {
  std::vector<float> in(16), out(16);
  std::iota(in.begin(), in.end(), 1.0f);
  squeeze_forward(out.data(), in.data(), {1, 4, 4, 1}, Reference{});
  CHECK(out == std::vector<float>{1, 2, 5, 6, 3, 4, 7, 8, 9, 10, 13, 14, 11, 12, 15, 16});
}

TEST_CASE("squeeze keeps the four values of an input channel together") {
  const std::vector<float> in{1, 10, 2, 20, 3, 30, 4, 40};  // two channels, 2x2 pixels
  std::vector<float> out(8);
  squeeze_forward(out.data(), in.data(), {1, 2, 2, 2}, Reference{});
  CHECK(out == std::vector<float>{1, 2, 3, 4, 10, 20, 30, 40});
}

TEST_CASE("squeeze_inverse undoes squeeze_forward bit for bit") {
  for (MapShape shape : {MapShape{1, 2, 2, 1}, {3, 4, 2, 3}, {31, 2, 6, 1}, {1, 2, 4, 257}}) {
    const auto in = random_normal<double>(shape.size(), 1);
    std::vector<double> out(in.size()), back(in.size());
    squeeze_forward(out.data(), in.data(), shape, Reference{});
    squeeze_inverse(Grad<double>{back.data()}, out.data(), shape, Reference{});
    CHECK(same_bits(in, back));
  }
}

TEST_CASE("squeeze gradients") {
  const MapShape shape{3, 4, 2, 3};
  const auto dout = random_normal<double>(shape.size(), 2);
  check_gradients(
      {random_normal<double>(shape.size(), 3)},
      [&](const Inputs& in) {
        std::vector<double> out(shape.size());
        squeeze_forward(out.data(), in[0].data(), shape, Reference{});
        return dot(out, dout);
      },
      [&](const Inputs&, const Gradients& gradients) {
        squeeze_inverse(gradients[0], dout.data(), shape, Reference{});
      });
}

TEMPLATE_TEST_CASE("cpu squeeze is the reference's, bit for bit", "", float, double) {
  for (MapShape shape : {MapShape{1, 2, 2, 1}, {3, 6, 2, 31}, {31, 2, 6, 3}, {257, 6, 4, 3}}) {
    const auto in = random_normal<TestType>(shape.size(), 1);
    for (GradMode mode : kGradModes) {
      const auto run = [&](auto backend) {
        std::vector<TestType> out(shape.size());
        squeeze_forward(out.data(), in.data(), shape, backend);
        auto back = random_normal<TestType>(shape.size(), 2);
        squeeze_inverse(Grad<TestType>{back.data(), mode}, in.data(), shape, backend);
        return outputs(out, back);
      };
      check_cpu(run, 0);  // a permutation
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
