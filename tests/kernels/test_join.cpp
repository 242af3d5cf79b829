// Sums and joined channels.
#include "kernels/join.h"
#include "tests/support/host_values.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

TEST_CASE("concat_channels puts the channels of b behind those of a, and its gradient splits them") {
  const std::vector<double> a{1, 2, 3, 4}, b{10, 20};
  std::vector<double> y(6), da(4), db(2, 1);
  concat_channels_forward(y.data(), a.data(), b.data(), {1, 1, 2, 3}, 2, Reference{});
  CHECK(y == std::vector<double>{1, 2, 10, 3, 4, 20});
  concat_channels_backward(Grad<double>{da.data()}, Grad<double>{db.data(), GradMode::kAccumulate}, y.data(),
                           {1, 1, 2, 3}, 2, Reference{});
  CHECK(da == a);
  CHECK(db == std::vector<double>{11, 21});
}

TEST_CASE("the gradients of add and concat_channels") {
  for (const MapShape shape : {MapShape{1, 1, 1, 2}, {3, 1, 31, 4}, {1, 3, 1, 257}}) {
    const int ca = (shape.c + 1) / 2;
    const std::size_t pixels = shape.n * shape.pixels();
    const auto dy = random_normal<double>(shape.size(), 1);
    check_gradients(
        {random_normal<double>(shape.size(), 2), random_normal<double>(shape.size(), 3)},
        [&](const Inputs& in) {
          std::vector<double> y(dy.size());
          add_forward(y.data(), in[0].data(), in[1].data(), y.size(), Reference{});
          return dot(y, dy);
        },
        [&](const Inputs&, const Gradients& gradients) {
          add_backward(gradients[0], gradients[1], dy.data(), dy.size(), Reference{});
        });
    check_gradients(
        {random_normal<double>(pixels * ca, 2), random_normal<double>(pixels * (shape.c - ca), 3)},
        [&](const Inputs& in) {
          std::vector<double> y(dy.size());
          concat_channels_forward(y.data(), in[0].data(), in[1].data(), shape, ca, Reference{});
          return dot(y, dy);
        },
        [&](const Inputs&, const Gradients& gradients) {
          concat_channels_backward(gradients[0], gradients[1], dy.data(), shape, ca, Reference{});
        });
  }
}

TEST_CASE("cpu add and concat_channels agree with the reference") {
  for (const MapShape shape : {MapShape{1, 1, 1, 2}, {3, 31, 1, 3}, {257, 9, 8, 5}, {3, 31, 31, 31}}) {
    const std::size_t pixels = shape.n * shape.pixels();
    const auto a = random_normal<float>(shape.size(), 1), b = random_normal<float>(shape.size(), 2);
    for (const int ca : {1, shape.c - 1}) {
      for (const GradMode mode : kGradModes) {
        const auto run = [&](auto backend) {
          std::vector<float> sum(a.size()), da(a), db(b), joined(a.size());
          std::vector<float> first(pixels * ca, 1), second(pixels * (shape.c - ca), 2), nobody(a);
          add_forward(sum.data(), a.data(), b.data(), a.size(), backend);
          add_backward(Grad<float>{da.data(), mode}, Grad<float>{db.data(), mode}, sum.data(), a.size(), backend);
          add_backward(Grad<float>{}, Grad<float>{nobody.data(), mode}, sum.data(), a.size(), backend);
          concat_channels_forward(joined.data(), a.data(), b.data(), shape, ca, backend);
          concat_channels_backward(Grad<float>{first.data(), mode}, Grad<float>{}, a.data(), shape, ca, backend);
          concat_channels_backward(Grad<float>{}, Grad<float>{second.data(), mode}, a.data(), shape, ca, backend);
          return outputs(sum, da, db, nobody, joined, first, second);
        };
        check_cpu(run, 0);  // one rounding at most, and the same one
      }
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
