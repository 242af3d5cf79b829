// The layouts of the tensor cores' fragments and of the loads that feed them (kernels/cuda/mma.h), by products of small
// integers: every precision holds those and their sums exactly, so a number in a wrong place shows as such, not as
// noise. A wrong layout on a GPU that the emulator does not know of fails here first.
#include "kernels/conv.h"
#include "tests/support/gpu_testing.h"

namespace flowsmith::core::testing {
namespace {

/// Integers from -8 to 8 without a pattern that a permutation could keep.
std::vector<float> small_integers(std::size_t size, std::uint64_t seed) {
  std::vector<float> values = random_uniform<float>(size, seed, -8.5, 8.5);
  for (float& value : values) value = std::nearbyint(value);
  return values;
}

/// Row of pixels times 1x1 weight: `left` (rows, depth) and `right` (depth, columns).
std::vector<float> product(const std::vector<float>& left, const std::vector<float>& right, int rows, int depth,
                           int columns) {
  std::vector<float> out(std::size_t(rows) * columns);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      for (int k = 0; k < depth; ++k) out[i * columns + j] += left[i * depth + k] * right[k * columns + j];
    }
  }
  return out;
}

std::vector<float> transposed(const std::vector<float>& a, int rows, int columns) {
  std::vector<float> out(a.size());
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) out[j * rows + i] = a[i * columns + j];
  }
  return out;
}

TEST_CASE("one warp's products on tensor cores are exact for small integers", "[mma]") {
  // One step of TF32 and of bfloat16; 16 and 17 pixels: a tile of rows, and one row of the next.
  const int depth = GENERATE(8, 16), pixels = GENERATE(16, 17);
  const NetPrecision precision = GENERATE(NetPrecision::kFp32, NetPrecision::kTf32, NetPrecision::kBf16);
  constexpr int kColumns = 8;
  CAPTURE(depth, pixels, int(precision));
  const ConvShape shape{1, 1, pixels, depth, kColumns, 1, false};
  const std::vector<float> x = small_integers(pixels * depth, 1), weight = small_integers(depth * kColumns, 2),
                           dy = small_integers(pixels * kColumns, 3);
  const auto got = run_schedules([&] {
    const TestGpu gpu = test_stream(precision);
    const DeviceArray<float> in(x), w(weight), out(dy), bias(std::vector<float>(kColumns, 0));
    DeviceArray<float> y(dy.size()), dx(x.size()), dweight(weight.size());
    conv_forward(y.data(), in.data(), w.data(), bias.data(), shape, gpu);
    conv_backward_data(dx.grad(), out.data(), in.data(), w.data(), shape, gpu);
    conv_backward_weights(dweight.grad(), Grad<float>{}, out.data(), in.data(), shape, gpu);
    return outputs(y.host(), dx.host(), dweight.host());
  });
  CHECK(got == outputs(product(x, weight, pixels, depth, kColumns),
                       product(dy, transposed(weight, depth, kColumns), pixels, kColumns, depth),
                       product(transposed(x, pixels, depth), dy, depth, pixels, kColumns)));
}

TEST_CASE("windows of tensor-core convolutions are exact for small integers", "[mma]") {
  const NetPrecision precision = GENERATE(NetPrecision::kFp32, NetPrecision::kTf32, NetPrecision::kBf16);
  CAPTURE(int(precision));
  const ConvShape shape{2, 5, 7, 24, 12, 3, false};
  const std::vector<float> x = small_integers(shape.x().size(), 1), weight = small_integers(shape.weight_size(), 2),
                           bias = small_integers(shape.c_out, 3), dy = small_integers(shape.y().size(), 4);
  std::vector<float> y(dy.size()), dx(x.size()), dweight(weight.size()), dbias(bias.size());
  conv_forward(y.data(), x.data(), weight.data(), bias.data(), shape, Reference{});
  conv_backward_data(Grad<float>{dx.data()}, dy.data(), x.data(), weight.data(), shape, Reference{});
  conv_backward_weights(Grad<float>{dweight.data()}, Grad<float>{dbias.data()}, dy.data(), x.data(), shape,
                        Reference{});
  const TestGpu gpu = test_stream(precision);
  const DeviceArray<float> in(x), w(weight), b(bias), out(dy);
  DeviceArray<float> gpu_y(y.size()), gpu_dx(dx.size()), gpu_dweight(dweight.size()), gpu_dbias(dbias.size());
  conv_forward(gpu_y.data(), in.data(), w.data(), b.data(), shape, gpu);
  conv_backward_data(gpu_dx.grad(), out.data(), in.data(), w.data(), shape, gpu);
  conv_backward_weights(gpu_dweight.grad(), gpu_dbias.grad(), out.data(), in.data(), shape, gpu);
  CHECK(gpu_y.host() == y);
  CHECK(gpu_dx.host() == dx);
  CHECK(gpu_dweight.host() == dweight);
  CHECK(gpu_dbias.host() == dbias);
}

}  // namespace
}  // namespace flowsmith::core::testing
