// Copies and fills on two streams: what nothing orders is refused, and what is ordered, in whichever way, is not.
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <vector>

#include "tests/cuda/emulator/device_floats.h"
#include "tests/cuda/emulator/runtime_objects.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

constexpr std::size_t kSize = 4;

/// A block goes through a waiting place: it is sent on one stream and taken from there on another.
struct Relay {
  NewStream sender, taker;
  NewEvent sent, taken;
  PinnedFloats source{kSize};
  DeviceFloats waiting{kSize}, destination{kSize};

  void write(float value) const {
    CHECK(cudaEventSynchronize(sent) == cudaSuccess);
    for (std::size_t i = 0; i < kSize; ++i) source.data()[i] = value;
  }
  void send(bool waits = true) const {
    if (waits) FLOWSMITH_CUDA_CHECK(cudaStreamWaitEvent(sender, taken));
    FLOWSMITH_CUDA_CHECK(
        cudaMemcpyAsync(waiting.data(), source.data(), source.bytes(), cudaMemcpyHostToDevice, sender));
    FLOWSMITH_CUDA_CHECK(cudaEventRecord(sent, sender));
  }
  void take(bool waits = true) const {
    if (waits) FLOWSMITH_CUDA_CHECK(cudaStreamWaitEvent(taker, sent));
    FLOWSMITH_CUDA_CHECK(
        cudaMemcpyAsync(destination.data(), waiting.data(), waiting.bytes(), cudaMemcpyDeviceToDevice, taker));
    FLOWSMITH_CUDA_CHECK(cudaEventRecord(taken, taker));
  }
};

constexpr const char* kReadsTooEarly = "reads memory (16 bytes) that one on another stream may still be writing";
constexpr const char* kOverwritesRead = "writes memory (16 bytes) that one on another stream may still be reading";
constexpr const char* kOverwritesWritten = "writes memory (16 bytes) that one on another stream may still be writing";

TEST_CASE("a block that is sent and taken with both waits arrives") {
  const Relay relay;
  for (const float value : {1.0f, 2.0f, 3.0f}) {
    relay.write(value);
    relay.send();
    relay.take();
  }
  CHECK(cudaStreamSynchronize(relay.taker) == cudaSuccess);
  CHECK(relay.destination.host() == std::vector<float>(kSize, 3));
}

TEST_CASE("a block that is taken without waiting until it was sent is refused") {
  const Relay relay;
  relay.write(1);
  relay.send();
  CHECK_THROWS_WITH(relay.take(false), Contains(kReadsTooEarly) && Contains("cudaStreamWaitEvent") && !Contains("\n"));
}

TEST_CASE("a block that is sent without waiting until the last one was taken is refused") {
  const Relay relay;
  relay.write(1);
  relay.send(false);
  relay.take();
  relay.write(2);
  CHECK_THROWS_WITH(relay.send(false), Contains(kOverwritesRead));
}

TEST_CASE("an event orders what was put on its stream before it, and nothing later") {
  const NewStream first, second;
  const NewEvent event;
  const DeviceFloats x(kSize), y(kSize);
  const auto fill = [](const DeviceFloats& array, cudaStream_t stream) {
    FLOWSMITH_CUDA_CHECK(cudaMemsetAsync(array.data(), 0, array.bytes(), stream));
  };
  CHECK(cudaStreamWaitEvent(second, event) == cudaSuccess);  // never recorded: no wait
  fill(x, first);
  CHECK(cudaEventRecord(event, first) == cudaSuccess);
  fill(y, first);
  CHECK(cudaStreamWaitEvent(second, event) == cudaSuccess);
  fill(x, second);
  CHECK_THROWS_WITH(fill(y, second), Contains(kOverwritesWritten));
  CHECK_THROWS_WITH(fill(x, first), Contains(kOverwritesWritten));  // the other way round there is no wait
  CHECK(cudaEventRecord(event, first) == cudaSuccess);
  CHECK_THROWS_WITH(fill(y, second), Contains(kOverwritesWritten));  // the wait was for the earlier record
}

TEST_CASE("what orders two streams") {
  const NewStream first, second, third;
  const NewEvent event, later_event;
  const DeviceFloats x(counting(kSize)), y(kSize);
  const auto fill = [&](cudaStream_t stream) {
    return [&, stream] { FLOWSMITH_CUDA_CHECK(cudaMemsetAsync(x.data(), 0, x.bytes(), stream)); };
  };
  const auto clean = [&](const std::function<void()>& between) {
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    fill(first)();
    CHECK(cudaEventRecord(event, first) == cudaSuccess);
    between();
    CHECK_NOTHROW(fill(second)());
  };
  SECTION("the host waits for the stream") {
    clean([&] { CHECK(cudaStreamSynchronize(first) == cudaSuccess); });
  }
  SECTION("the host waits for an event") {
    clean([&] { CHECK(cudaEventSynchronize(event) == cudaSuccess); });
  }
  SECTION("the host waits for the device") {
    clean([&] { CHECK(cudaDeviceSynchronize() == cudaSuccess); });
  }
  SECTION("a copy to pageable memory waits") {
    std::vector<float> host(kSize);
    clean([&] {
      CHECK(cudaMemcpyAsync(host.data(), x.data(), x.bytes(), cudaMemcpyDeviceToHost, first) == cudaSuccess);
    });
  }
  SECTION("a third stream waits, and is waited for") {
    clean([&] {
      CHECK(cudaStreamWaitEvent(third, event) == cudaSuccess);
      CHECK(cudaEventRecord(later_event, third) == cudaSuccess);
      CHECK(cudaStreamWaitEvent(second, later_event) == cudaSuccess);
    });
  }
  SECTION("nothing, or another stream") {
    fill(first)();
    CHECK_THROWS_WITH(fill(second)(), Contains(kOverwritesWritten));
    CHECK(cudaStreamSynchronize(second) == cudaSuccess);
    CHECK_THROWS_WITH(fill(second)(), Contains(kOverwritesWritten));
  }
}

TEST_CASE("streams may read the same memory, and write different memory, at once") {
  const NewStream first, second;
  const DeviceFloats x(counting(kSize)), y(kSize), z(kSize);
  const auto copy = [&](float* to, const float* from, std::size_t count, cudaStream_t stream) {
    FLOWSMITH_CUDA_CHECK(cudaMemcpyAsync(to, from, count * sizeof(float), cudaMemcpyDeviceToDevice, stream));
  };
  CHECK_NOTHROW(copy(y.data(), x.data(), 2, first));
  CHECK_NOTHROW(copy(y.data() + 2, x.data(), 2, second));
  CHECK_NOTHROW(copy(z.data(), x.data(), kSize, second));
  CHECK_THROWS_WITH(copy(x.data() + 1, z.data(), 1, second), Contains("still be reading"));  // what `first` reads
  CHECK_NOTHROW(copy(x.data() + 2, z.data(), 2, second));
}

TEST_CASE("pinned memory is watched as device memory is, and freed memory is forgotten") {
  const NewStream first, second;
  const DeviceFloats x(counting(kSize)), y(kSize);
  const PinnedFloats between(kSize);
  CHECK(cudaMemcpyAsync(between.data(), x.data(), x.bytes(), cudaMemcpyDeviceToHost, first) == cudaSuccess);
  CHECK_THROWS_WITH(cudaMemcpyAsync(y.data(), between.data(), y.bytes(), cudaMemcpyHostToDevice, second),
                    Contains(kReadsTooEarly));
  const float* freed = nullptr;
  {
    const DeviceFloats z(kSize);
    freed = z.data();
    CHECK(cudaMemsetAsync(z.data(), 0, z.bytes(), first) == cudaSuccess);
  }
  const DeviceFloats z(kSize);
  REQUIRE(z.data() == freed);
  CHECK(cudaMemsetAsync(z.data(), 0, z.bytes(), second) == cudaSuccess);
}

/// What `work` puts on the stream, as a graph.
class Captured {
 public:
  Captured(cudaStream_t stream, const std::function<void()>& work) {
    FLOWSMITH_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    work();
    cudaGraph_t graph = nullptr;
    FLOWSMITH_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
    FLOWSMITH_CUDA_CHECK(cudaGraphInstantiate(&executable_, graph));
    cudaGraphDestroy(graph);
  }
  ~Captured() { cudaGraphExecDestroy(executable_); }
  Captured(const Captured&) = delete;
  void launch(cudaStream_t stream) const { FLOWSMITH_CUDA_CHECK(cudaGraphLaunch(executable_, stream)); }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

TEST_CASE("a graph's copies are those of the stream on which it is launched") {
  const Relay relay;
  const NewEvent inside;
  const DeviceFloats behind(kSize);
  const Captured graph(relay.taker, [&] {
    CHECK(cudaMemcpyAsync(relay.destination.data(), relay.waiting.data(), relay.waiting.bytes(),
                          cudaMemcpyDeviceToDevice, relay.taker) == cudaSuccess);
    CHECK(cudaEventRecord(inside, relay.taker) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(relay.taker, inside) == cudaSuccess);
    CHECK(cudaMemcpyAsync(behind.data(), relay.destination.data(), behind.bytes(), cudaMemcpyDeviceToDevice,
                          relay.taker) == cudaSuccess);
  });
  relay.write(5);
  relay.send();
  CHECK_THROWS_WITH(graph.launch(relay.taker), Contains(kReadsTooEarly));
  CHECK(cudaStreamWaitEvent(relay.taker, relay.sent) == cudaSuccess);
  graph.launch(relay.taker);
  CHECK(cudaEventRecord(relay.taken, relay.taker) == cudaSuccess);
  CHECK_THROWS_WITH(relay.send(false), Contains(kOverwritesRead));
  relay.send();
  CHECK_NOTHROW(graph.launch(relay.sender));  // in the order of what it reads
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(behind.host() == std::vector<float>(kSize, 5));
}

TEST_CASE("a capture and what lies outside do not wait for each other") {
  const NewStream first, second;
  const NewEvent outside, inside;
  CHECK(cudaEventRecord(outside, first) == cudaSuccess);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  check_error(cudaStreamWaitEvent(first, outside), cudaErrorStreamCaptureIsolation);
  check_error(cudaStreamEndCapture(first, &graph), cudaErrorStreamCaptureInvalidated);
  CHECK(cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaEventRecord(inside, first) == cudaSuccess);
  check_error(cudaStreamWaitEvent(second, inside), cudaErrorCapturedEvent);
  CHECK(cudaStreamEndCapture(first, &graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
}

TEST_CASE("streams that are in order with the default stream are not offered") {
  cudaStream_t stream = nullptr;
  check_error(cudaStreamCreateWithFlags(&stream, 0), cudaErrorInvalidValue);
  CHECK(stream == nullptr);
}

}  // namespace
}  // namespace flowsmith::core
