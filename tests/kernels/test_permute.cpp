// Permutation of the channels, and the orders.
#include <algorithm>

#include "kernels/permute.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

constexpr MapShape kShapes[] = {{1, 1, 1, 1}, {3, 31, 1, 3}, {31, 1, 3, 2}, {3, 1, 1, 257}, {5, 33, 31, 12}};

TEST_CASE("channel k of the result is channel order[k] of the input") {
  const std::vector<double> in{10, 11, 12, 20, 21, 22};
  const std::vector<std::uint32_t> order{2, 0, 1};
  std::vector<double> out(6);
  permute_forward(out.data(), in.data(), order.data(), {1, 1, 2, 3}, Reference{});
  CHECK(out == std::vector<double>{12, 10, 11, 22, 20, 21});
}

TEST_CASE("orders hold each channel once, and a random one depends on its seed alone") {
  CHECK(reverse_order(4) == std::vector<std::uint32_t>{3, 2, 1, 0});
  for (int c : {1, 3, 31, 257}) {
    std::vector<std::uint32_t> order = random_order(c, 5);
    CHECK(order == random_order(c, 5));
    if (c > 3) CHECK(order != random_order(c, 6));
    std::sort(order.begin(), order.end());
    for (int k = 0; k < c; ++k) CHECK(order[k] == std::uint32_t(k));
  }
}

TEST_CASE("each order of three channels is as frequent as the others") {
  std::vector<int> counts(27);
  for (std::uint64_t seed = 0; seed < 6000; ++seed) {
    const auto order = random_order(3, seed);
    ++counts[9 * order[0] + 3 * order[1] + order[2]];
  }
  // 1000 each, with a standard deviation of 29: five of them.
  for (int count : counts) CHECK((count == 0 || std::abs(count - 1000) < 145));
}

TEST_CASE("permutation gradients") {
  const MapShape shape{3, 4, 2, 5};
  const auto order = random_order(shape.c, 1);
  const auto dout = random_normal<double>(shape.size(), 2);
  check_gradients(
      {random_normal<double>(shape.size(), 3)},
      [&](const Inputs& in) {
        std::vector<double> out(shape.size());
        permute_forward(out.data(), in[0].data(), order.data(), shape, Reference{});
        return dot(out, dout);
      },
      [&](const Inputs&, const Gradients& gradients) {
        permute_inverse(gradients[0], dout.data(), order.data(), shape, Reference{});
      });
}

TEMPLATE_TEST_CASE("cpu permutation is the reference's, bit for bit, and so is its inverse, in place too", "", float,
                   double) {
  for (MapShape shape : kShapes) {
    const auto order = random_order(shape.c, 1);
    const auto in = random_normal<TestType>(shape.size(), 1);
    for (GradMode mode : kGradModes) {
      const auto run = [&](auto backend) {
        std::vector<TestType> out(shape.size());
        permute_forward(out.data(), in.data(), order.data(), shape, backend);
        auto back = random_normal<TestType>(shape.size(), 2), in_place = in;
        permute_inverse(Grad<TestType>{back.data(), mode}, in.data(), order.data(), shape, backend);
        permute_inverse(Grad<TestType>{}, in.data(), order.data(), shape, backend);
        permute_forward(in_place.data(), in_place.data(), order.data(), shape, backend);
        CHECK(same_bits(in_place, out));
        permute_inverse(Grad<TestType>{in_place.data()}, in_place.data(), order.data(), shape, backend);
        CHECK(same_bits(in_place, in));
        return outputs(out, back);
      };
      check_cpu(run, 0);  // a permutation
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
