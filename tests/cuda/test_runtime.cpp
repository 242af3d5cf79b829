// The host's side of a device: copies, graphs, and what it says when something is missing.
#include <numeric>

#include "kernels/cuda/staging.h"
#include "kernels/fill.h"
#include "tests/support/gpu_testing.h"

#if !defined(FLOWSMITH_TEST_ON_GPU)
#include "kernels/cuda/emulator/runtime_api.h"
#endif

namespace flowsmith::core::testing {
namespace {

using Catch::Contains;
using Runtime = GpuRuntime<TestGpu>;

TEST_CASE("the first device can be used and says what it is") {
  REQUIRE(Runtime::device_count() >= 1);
  CHECK_NOTHROW(Runtime::use_device(0));
  const GpuInfo info = Runtime::info();
  CHECK_FALSE(info.name.empty());
  CHECK(info.compute_major >= 8);
  CHECK(info.multiprocessors > 0);
  CHECK(info.free_memory <= info.memory);
}

TEST_CASE("a device that is not there is refused with what there is") {
  CHECK_THROWS_WITH(Runtime::use_device(999), Contains("no GPU 999") && Contains("counted from 0"));
  CHECK_THROWS_WITH(Runtime::use_device(-1), Contains("no GPU -1"));
}

TEST_CASE("bytes survive the way to the device and back") {
  std::vector<std::uint8_t> bytes(1027);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t(0));
  const DeviceArray<std::uint8_t> first(bytes);
  DeviceArray<std::uint8_t> second(bytes.size());
  Runtime::copy(second.data(), first.data(), bytes.size());
  CHECK(second.host() == bytes);
  Runtime::fill_zero(second.data() + 3, 1000);
  const std::vector<std::uint8_t> cleared = second.host();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (cleared[i] != (i >= 3 && i < 1003 ? 0 : bytes[i])) FAIL("byte " << i);
  }
}

TEST_CASE("what goes to pinned memory is there after synchronize") {
  const DeviceArray<double> numbers(std::vector<double>{1, 2, 3});
  auto* const pinned = static_cast<double*>(Runtime::allocate_pinned(3 * sizeof(double)));
  Runtime::download_later(pinned, numbers.data(), 3 * sizeof(double));
  Runtime::synchronize();
  CHECK(std::vector<double>(pinned, pinned + 3) == std::vector<double>{1, 2, 3});
  Runtime::release_pinned(pinned);
}

TEST_CASE("fill writes a number and nothing beside it") {
  for (const std::size_t size : {std::size_t(0), std::size_t(1), std::size_t(257)}) {
    DeviceArray<double> numbers(std::vector<double>(300, -1));
    fill(numbers.data(), 2.5, size, test_stream());
    const std::vector<double> got = numbers.host();
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == (i < size ? 2.5 : -1));
  }
}

TEST_CASE("blocks that are staged while the last one is taken arrive in their order") {
  GpuStaging<TestGpu> staging;
  const std::size_t sizes[] = {100, 7, 300};  // with room, and without
  std::vector<DeviceArray<std::uint8_t>> taken;
  for (std::size_t i = 0; i < 6; ++i) {
    const std::size_t bytes = sizes[i / 2];
    std::fill_n(staging.begin(bytes), bytes, std::byte(i + 1));
    staging.send();
    staging.take(taken.emplace_back(bytes).data());
  }
  for (std::size_t i = 0; i < taken.size(); ++i) {
    CHECK(taken[i].host() == std::vector<std::uint8_t>(sizes[i / 2], std::uint8_t(i + 1)));
  }
}

TEST_CASE("a graph records without running, and replays on what memory holds then") {
  DeviceArray<double> from(std::vector<double>{7}), to(std::vector<double>{0});
  const GpuGraph<TestGpu> graph([&] {
    Runtime::copy(to.data(), from.data(), sizeof(double));
    fill(from.data(), 1.0, 1, test_stream());
  });
  CHECK(graph.node_count() == 2);
  CHECK(to.host()[0] == 0);
  graph.launch();
  CHECK(to.host()[0] == 7);
  graph.launch();
  CHECK(to.host()[0] == 1);
}

TEST_CASE("a capture that fails passes its error on and leaves the stream usable") {
  struct Stop {};
  DeviceArray<double> number(std::vector<double>{0});
  CHECK_THROWS_AS(GpuGraph<TestGpu>([&] {
                    fill(number.data(), 1.0, 1, test_stream());
                    throw Stop{};
                  }),
                  Stop);
  CHECK(number.host()[0] == 0);
  fill(number.data(), 2.0, 1, test_stream());
  CHECK(number.host()[0] == 2);
}

TEST_CASE("memory that is not there is refused with both sizes") {
  try {
    Runtime::allocate(std::size_t{1} << 50);
    FAIL("nobody has a pebibyte");
  } catch (const OutOfMemory& error) {
    CHECK_THAT(error.what(), Contains("1073741824 MiB") && Contains("are free"));
  }
  CHECK_NOTHROW(DeviceArray<double>(10));
}

#if !defined(FLOWSMITH_TEST_ON_GPU)

/// Another machine while it exists.
struct On {
  explicit On(const emulator::Machine& machine) { emulator::set_machine(machine); }
  On(const On&) = delete;
  ~On() { emulator::set_machine({}); }
};

/// What a user is told who asks for the first GPU, and who leaves the choice to the program.
struct Told {
  std::string asked, unasked;
};

Told told() {
  Told result;
  try {
    Runtime::use_device(0);
    FAIL("there is a GPU");
  } catch (const GpuError& error) {
    result.asked = error.what();
  }
  CHECK_THAT(result.asked, !Contains("--device") && !Contains("\n"));
  CHECK_FALSE(Runtime::use_first_device(&result.unasked));
  CHECK_FALSE(Runtime::use_first_device());
  CHECK(cuda_names::cudaGetLastError() == cuda_names::cudaSuccess);  // it would surface in the next check
  return result;
}

TEST_CASE("without a driver no GPU is used, and nothing is said unless one was asked for") {
  const On machine({.driver = 0});
  CHECK(told().asked == "no GPU can be used: there is no NVIDIA driver");
  CHECK(told().unasked.empty());
  CHECK(Runtime::device_count() == 0);
}

TEST_CASE("without a device no GPU is used, and nothing is said unless one was asked for") {
  const On machine({.has_gpu = false});
  CHECK(told().asked == "no GPU can be used: no CUDA-capable device is detected");
  CHECK(told().unasked.empty());
}

TEST_CASE("a driver that is too old for the build is named with both versions") {
  const On machine({.driver = 11080});
  const std::string why = "the driver is for CUDA 11.8, older than the 12.0 of this build: install a newer one";
  CHECK(told().asked == "no GPU can be used: " + why);
  CHECK(told().unasked == why);
}

TEST_CASE("a GPU for which the build has no code is named with the option that builds for it") {
  const On machine({.runs_kernels = false});
  CHECK_THAT(told().asked, Contains("GPU 0 (emulated GPU, compute capability 9.0) cannot run this build") &&
                               Contains("no kernel image is available") && Contains("-DCMAKE_CUDA_ARCHITECTURES=90"));
  CHECK(told().unasked == told().asked);
}

TEST_CASE("a newer driver than the build serves it") {
  const On machine({.driver = 13000});
  std::string why;
  CHECK(Runtime::use_first_device(&why));
  CHECK(why.empty());
}

#endif

}  // namespace
}  // namespace flowsmith::core::testing
