// The GPU's noise is the reference's, bit for bit, at sizes that are no multiple of four too.
#include "kernels/noise.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

constexpr NoiseStream kStreams[] = {{1, NoisePurpose::kTraining, 0},
                                    {0xfedcba9876543210u, NoisePurpose::kPrior, 0xffffffffu}};
const std::vector<std::uint32_t> kIndex{7, 0, 0xffffffffu};
constexpr std::size_t kSizes[] = {1, 7, 9, 28, 784};

TEMPLATE_TEST_CASE("gpu uniform noise has the bits of the reference", "", float, double) {
  for (const NoiseStream& stream : kStreams) {
    for (int n : {1, 3}) {
      for (std::size_t per_image : kSizes) {
        CAPTURE(n, per_image);
        check_gpu_bits([&](auto backend) {
          auto u = blank<TestType>(backend, n * per_image);
          auto index = put(backend, kIndex);
          auto source = put(backend, std::vector<NoiseStream>{stream});
          uniform_noise(u.data(), index.data(), source.data(), n, per_image, backend);
          return outputs(u.host());
        });
      }
    }
  }
}

TEMPLATE_TEST_CASE("gpu normal noise agrees with the reference", "", float, double) {
  for (int n : {1, 3}) {
    for (std::size_t per_image : kSizes) {
      CAPTURE(n, per_image);
      // log, sin and cos of a GPU may differ in the last bit of double, which may turn a rounding to float.
      check_gpu(
          [&](auto backend) {
            auto z = blank<TestType>(backend, n * per_image);
            auto index = put(backend, kIndex);
            auto source = put(backend, std::vector<NoiseStream>{kStreams[1]});
            normal_noise(z.data(), index.data(), source.data(), 0.7, n, per_image, backend);
            return outputs(z.host());
          },
          sizeof(TestType) == 4 ? 1e-7 : 1e-15);
    }
  }
}

TEST_CASE("gpu noise of no image writes nothing") {
  DeviceArray<float> u(std::vector<float>{5});
  const DeviceArray<std::uint32_t> index(kIndex);
  const DeviceArray<NoiseStream> stream(std::vector<NoiseStream>{{}});
  uniform_noise(u.data(), index.data(), stream.data(), 0, 7, test_stream());
  normal_noise(u.data(), index.data(), stream.data(), 1, 0, 7, test_stream());
  uniform_noise(u.data(), index.data(), stream.data(), 3, 0, test_stream());
  CHECK(u.host()[0] == 5);
}

}  // namespace
}  // namespace flowsmith::core::testing
