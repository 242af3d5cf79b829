// A matrix on the channels of every pixel.
#include "kernels/channel_matmul.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

TEST_CASE("every pixel is multiplied by the matrix, rows of which are outputs") {
  const std::vector<double> z{1, 10, 2, 20}, matrix{1, 2, 3, 4};
  std::vector<double> z_out(4);
  channel_matmul_forward(z_out.data(), z.data(), matrix.data(), {1, 1, 2, 2}, Reference{});
  CHECK(z_out == std::vector<double>{21, 43, 42, 86});
}

TEST_CASE("channel matrix gradients") {
  for (MapShape shape : {MapShape{1, 1, 1, 1}, {1, 3, 5, 2}, {3, 2, 1, 5}, {2, 1, 3, 12}}) {
    const auto dz_out = random_normal<double>(shape.size(), 1);
    check_gradients(
        {random_normal<double>(shape.size(), 2), random_normal<double>(shape.c * shape.c, 3)},
        [&](const Inputs& in) {
          std::vector<double> z_out(shape.size());
          channel_matmul_forward(z_out.data(), in[0].data(), in[1].data(), shape, Reference{});
          return dot(z_out, dz_out);
        },
        [&](const Inputs& in, const Gradients& gradients) {
          channel_matmul_backward(gradients[0], gradients[1], dz_out.data(), in[0].data(), in[1].data(), shape,
                                  Reference{});
        });
  }
}

/// Float sums of some hundred terms against sums in double; a sum over a batch of thousands has its runs in double.
template <class Z>
constexpr double kBound = std::is_same_v<Z, float> ? 1e-6 : 1e-7;

TEMPLATE_TEST_CASE("cpu channel matrix agrees with the reference", "", float, double) {
  for (MapShape shape : {MapShape{1, 1, 1, 1},
                         {3, 31, 1, 3},
                         {31, 1, 3, 5},
                         {33, 7, 9, 4},
                         {9, 31, 3, 12},
                         {17, 5, 3, 48},
                         {257, 1, 1, 31},
                         {3, 1, 1, 257}}) {
    CAPTURE(shape.n, shape.h, shape.w, shape.c);
    const auto z = random_normal<TestType>(shape.size(), 1), dz_out = random_normal<TestType>(shape.size(), 2);
    const auto matrix = random_normal<float>(shape.c * shape.c, 3);
    for (GradMode mode : kGradModes) {
      const auto run = [&](auto backend) {
        std::vector<TestType> z_out(z.size()), in_place = z;
        channel_matmul_forward(z_out.data(), z.data(), matrix.data(), shape, backend);
        channel_matmul_forward(in_place.data(), in_place.data(), matrix.data(), shape, backend);
        CHECK(same_bits(in_place, z_out));
        auto dz = random_normal<TestType>(z.size(), 4);
        auto dmatrix = random_normal<float>(matrix.size(), 5);
        const Grad<TestType> to_z{dz.data(), mode};
        const Grad<float> to_matrix{dmatrix.data(), mode};
        channel_matmul_backward(to_z, {}, dz_out.data(), z.data(), matrix.data(), shape, backend);
        channel_matmul_backward({}, to_matrix, dz_out.data(), z.data(), matrix.data(), shape, backend);
        return outputs(z_out, dz, dmatrix);
      };
      check_cpu(run, kBound<TestType>);
    }
  }
}

TEMPLATE_TEST_CASE("cpu gradients of a channel matrix may take the place of those they come from", "", float, double) {
  const MapShape shape{3, 31, 3, 12};
  const auto z = random_normal<TestType>(shape.size(), 1), dz_out = random_normal<TestType>(shape.size(), 2);
  const auto matrix = random_normal<float>(shape.c * shape.c, 3);
  std::vector<TestType> dz(z.size()), in_place = dz_out;
  std::vector<float> dmatrix(matrix.size()), again(matrix.size());
  channel_matmul_backward(Grad<TestType>{dz.data()}, Grad<float>{dmatrix.data()}, dz_out.data(), z.data(),
                          matrix.data(), shape, Cpu{});
  channel_matmul_backward(Grad<TestType>{in_place.data()}, Grad<float>{again.data()}, in_place.data(), z.data(),
                          matrix.data(), shape, Cpu{});
  CHECK(same_bits(in_place, dz));
  CHECK(same_bits(again, dmatrix));
}

TEST_CASE("cpu products with a matrix in double are in double, and an image does not see its batch") {
  const MapShape shape{5, 31, 3, 12}, last{1, 31, 3, 12};
  const auto matrix = random_normal<double>(shape.c * shape.c, 3);
  const auto check = [&](auto z, double bound) {
    auto z_out = z, one = z, want = z;
    channel_matmul_forward(want.data(), z.data(), matrix.data(), shape, Reference{});
    channel_matmul_forward(z_out.data(), z.data(), matrix.data(), shape, Cpu{});
    CHECK(relative_error(z_out, want) < bound);
    one.erase(one.begin(), one.end() - last.size());
    channel_matmul_forward(one.data(), one.data(), matrix.data(), last, Cpu{});
    z_out.erase(z_out.begin(), z_out.end() - last.size());
    CHECK(same_bits(one, z_out));
  };
  check(random_normal<double>(shape.size(), 1), 1e-15);
  check(random_normal<float>(shape.size(), 1), 1e-8);  // only the last rounding to float, and that the same
}

}  // namespace
}  // namespace flowsmith::core::testing
