// The kernels that measure ceilings do what they are counted for: a rate of work that was left out would be a lie.
#include "kernels/cuda/peak.h"
#include "tests/support/gpu_testing.h"

namespace flowsmith::core {
namespace {

using namespace testing;

TEST_CASE("every multiply-add of the peak is made", "[peak]") {
  const int blocks = GENERATE(1, 3), rounds = GENERATE(0, 1, 6);
  const float start = 3;
  const auto out = run_schedules([&] {
    DeviceArray<float> y(std::size_t(blocks) * cuda::kPeakThreads);
    CHECK(cuda::multiply_add_work(y.data(), start, rounds, blocks, test_stream()) ==
          2.0 * 16 * rounds * double(y.size()));
    return outputs(y.host());
  });
  // x - 1 is halved in every round: all sums are integers below 2^13 over 64, exact in float.
  std::vector<double> want;
  for (int i = 0; i < blocks * cuda::kPeakThreads; ++i) {
    double sum = 0;
    for (int k = 0; k < 16; ++k) sum += 1 + (start + i % cuda::kPeakThreads + k - 1) / double(1 << rounds);
    want.push_back(sum);
  }
  CHECK(out[0] == want);
}

/// a as the tensor cores get it, recomputed from its definition: the nearest number with `bits` of mantissa.
double rounded(float a, int bits) {
  int exponent = 0;
  const double mantissa = std::frexp(a, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(mantissa, bits + 1)), exponent - bits - 1);
}

TEST_CASE("every product of the tensor cores' peak is made", "[peak]") {
  const auto precision = GENERATE(NetPrecision::kTf32, NetPrecision::kBf16);
  const int blocks = GENERATE(1, 2), rounds = GENERATE(0, 1, 5);
  const int depth = cuda::mma_depth(precision), bits = precision == NetPrecision::kTf32 ? 10 : 7;
  const std::vector<float> a = random_normal<float>(16 * depth, 1), b = random_normal<float>(8 * depth, 2);
  const std::size_t warps = std::size_t(blocks) * cuda::kPeakWarps;
  const auto out = run_schedules([&] {
    const DeviceArray<float> device_a(a), device_b(b);
    DeviceArray<float> y(warps * 16 * 8);
    CHECK(cuda::mma_work(y.data(), device_a.data(), device_b.data(), rounds, blocks, test_stream(precision)) ==
          2.0 * 16 * 8 * depth * 8 * rounds * double(warps));
    return outputs(y.host());
  });
  std::vector<double> want;
  for (std::size_t warp = 0; warp < warps; ++warp) {
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 8; ++column) {
        double sum = 0;
        for (int k = 0; k < depth; ++k) sum += rounded(a[row * depth + k], bits) * rounded(b[k * 8 + column], bits);
        want.push_back(8 * rounds * sum);
      }
    }
  }
  // Float sums of 5 * 16 terms; tensor cores may cut where others round. A factor rounded otherwise is off by 1e-4.
  CHECK(relative_error(out[0], want) < 1e-5);
  if (rounds == 0) CHECK(out[0] == want);
}

TEST_CASE("the copy of the peak copies everything and no more", "[peak]") {
  const std::size_t size = GENERATE(4u, 1024u, 4096u, 4u * 5000u);
  constexpr std::size_t kBehind = 64;
  const std::vector<float> from = random_normal<float>(size + kBehind, 3);
  const auto out = run_schedules([&] {
    const DeviceArray<float> source(from);
    DeviceArray<float> to(std::vector<float>(size + kBehind, 7.0f));
    CHECK(cuda::copy_work(to.data(), source.data(), size, test_stream()) == 8.0 * double(size));
    return outputs(to.host());
  });
  std::vector<double> want(from.begin(), from.begin() + size);
  want.resize(size + kBehind, 7.0);
  CHECK(out[0] == want);
}

TEST_CASE("there is no peak of tensor cores in fp32, and none of no blocks", "[peak]") {
  float* const nothing = nullptr;
  CHECK_THROWS_AS(cuda::mma_work(nothing, nothing, nothing, 1, 1, test_stream(NetPrecision::kFp32)), GpuError);
  CHECK(cuda::mma_work(nothing, nothing, nothing, 1, 0, test_stream(NetPrecision::kTf32)) == 0);
  CHECK(cuda::multiply_add_work(nothing, 1.0f, 1, 0, test_stream()) == 0);
  CHECK(cuda::copy_work(nothing, nothing, 0, test_stream()) == 0);
}

}  // namespace
}  // namespace flowsmith::core
