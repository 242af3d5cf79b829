// The host's side of a device: copies, graphs, and what it says when something is missing.
#include <numeric>

#include "kernels/cuda/staging.h"
#include "kernels/fill.h"
#include "tests/support/gpu_testing.h"

namespace flowsmith::testing {
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
  CHECK_THROWS_WITH(Runtime::use_device(999), Contains("no GPU 999") && Contains("--device cpu"));
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
  } catch (const GpuOutOfMemory& error) {
    CHECK_THAT(error.what(), Contains("1073741824 MiB") && Contains("are free"));
  }
  CHECK_NOTHROW(DeviceArray<double>(10));
}

}  // namespace
}  // namespace flowsmith::testing
