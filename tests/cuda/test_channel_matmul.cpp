// A matrix on the channels of every pixel, on the GPU.
#include "kernels/channel_matmul.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

/// Float sums of some hundred terms against sums in double. The gradient of the matrix is float on either path.
template <class Z>
constexpr double kBound = std::is_same_v<Z, float> ? 1e-6 : 2e-7;

TEMPLATE_TEST_CASE("gpu channel matrix agrees with the reference", "", float, double) {
  for (const MapShape& shape : {MapShape{0, 2, 2, 3},
                                {1, 1, 1, 1},
                                {3, 7, 9, 3},
                                {2, 31, 7, 4},
                                {1, 14, 14, 12},
                                {1, 3, 5, 48},
                                {2, 3, 1, 65},
                                {3, 1, 1, 257}}) {
    CAPTURE(shape.n, shape.h, shape.w, shape.c);
    const auto values = random_normal<TestType>(shape.size(), 1), gradients = random_normal<TestType>(shape.size(), 2);
    const auto before = random_normal<TestType>(shape.size(), 3);
    const auto weights = random_normal<float>(shape.c * shape.c, 4);
    const auto weights_before = random_normal<float>(shape.c * shape.c, 5);
    check_gpu(
        [&](auto backend) {
          auto z = put(backend, values), in_place = put(backend, values), dz_out = put(backend, gradients);
          auto matrix = put(backend, weights);
          auto z_out = blank<TestType>(backend, values.size()), dz = blank<TestType>(backend, values.size());
          auto dz_sum = put(backend, before);
          auto dmatrix = blank<float>(backend, weights.size()), dmatrix_sum = put(backend, weights_before);
          channel_matmul_forward(z_out.data(), z.data(), matrix.data(), shape, backend);
          channel_matmul_forward(in_place.data(), in_place.data(), matrix.data(), shape, backend);
          CHECK(same_bits(in_place.host(), z_out.host()));
          channel_matmul_backward(dz.grad(), {}, dz_out.data(), z.data(), matrix.data(), shape, backend);
          channel_matmul_backward({}, dmatrix.grad(), dz_out.data(), z.data(), matrix.data(), shape, backend);
          channel_matmul_backward(dz_sum.grad(GradMode::kAccumulate), dmatrix_sum.grad(GradMode::kAccumulate),
                                  dz_out.data(), z.data(), matrix.data(), shape, backend);
          channel_matmul_backward(dz_out.grad(), {}, dz_out.data(), z.data(), matrix.data(), shape, backend);
          CHECK(same_bits(dz_out.host(), dz.host()));
          return outputs(z_out.host(), dz.host(), dz_sum.host(), dmatrix.host(), dmatrix_sum.host());
        },
        kBound<TestType>);
  }
}

TEMPLATE_TEST_CASE("gpu products with a matrix in double are in double", "", float, double) {
  for (int c : {12, 70}) {
    const MapShape shape{2, 3, 5, c};
    const auto values = random_normal<TestType>(shape.size(), 1);
    const auto weights = random_normal<double>(c * c, 2);
    check_gpu(
        [&](auto backend) {
          auto z = put(backend, values), z_out = blank<TestType>(backend, values.size());
          auto matrix = put(backend, weights);
          channel_matmul_forward(z_out.data(), z.data(), matrix.data(), shape, backend);
          return outputs(z_out.host());
        },
        std::is_same_v<TestType, float> ? 1e-8 : 1e-14);  // of float only the last rounding, and that the same
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
