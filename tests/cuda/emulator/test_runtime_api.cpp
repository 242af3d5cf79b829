// Memory, copies, streams and graphs fail here where they would fail on a GPU.
#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "tests/cuda/emulator/device_floats.h"
#include "tests/cuda/emulator/in_child.h"
#include "tests/cuda/emulator/runtime_objects.h"

namespace flowsmith::core {
namespace {

__global__ void add_one_kernel(float* y, int size) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < size) y[i] += 1;
}

void add_one(const DeviceFloats& y, cudaStream_t stream) {
  const int size = int(y.bytes() / sizeof(float));
  FLOWSMITH_LAUNCH(add_one_kernel, dim3((size + 31) / 32), dim3(32), 0, Emulated{stream}, y.data(), size);
}

TEST_CASE("the device") {
  int count = 0, device = -1;
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(count == 1);
  CHECK(cudaSetDevice(0) == cudaSuccess);
  CHECK(cudaGetDevice(&device) == cudaSuccess);
  CHECK(device == 0);
  check_error(cudaSetDevice(1), cudaErrorInvalidDevice);
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(properties.name == std::string("emulated GPU"));
  CHECK(properties.major == 9);
  check_error(cudaGetDeviceProperties(&properties, 1), cudaErrorInvalidDevice);
}

TEST_CASE("the host cannot touch device memory") {
  const DeviceFloats x(counting(4));
  CHECK(in_child([&] { x.data()[0] = 1; }).signal == SIGSEGV);
  CHECK(in_child([&] { _exit(int(x.data()[0])); }).signal == SIGSEGV);
  CHECK(x.host() == counting(4));
}

TEST_CASE("device memory is aligned, reused and limited") {
  std::size_t free_before = 0, free = 0, total = 0;
  CHECK(cudaMemGetInfo(&free_before, &total) == cudaSuccess);
  const float* first = nullptr;
  for (int round = 0; round < 3; ++round) {
    const DeviceFloats a(1000), b(1), c(77);
    for (const DeviceFloats* array : {&a, &b, &c}) CHECK(reinterpret_cast<std::uintptr_t>(array->data()) % 256 == 0);
    if (round == 0) first = a.data();
    CHECK(a.data() == first);
    CHECK(cudaMemGetInfo(&free, &total) == cudaSuccess);
    CHECK(free == free_before - 4 * 1078);
  }
  {
    // Two neighbours that are freed make room for something larger than either.
    auto a = std::make_unique<DeviceFloats>(1000), b = std::make_unique<DeviceFloats>(1000);
    const DeviceFloats c(1);
    a.reset();
    b.reset();
    const DeviceFloats d(2000);
    CHECK(d.data() == first);
  }
  CHECK(cudaMemGetInfo(&free, &total) == cudaSuccess);
  CHECK(free == free_before);

  void* memory = &memory;
  emulator::set_memory_limit(total - free + 1000);
  check_error(cudaMalloc(&memory, 1001), cudaErrorMemoryAllocation);
  CHECK(memory == nullptr);
  CHECK(cudaMalloc(&memory, 1000) == cudaSuccess);
  emulator::set_memory_limit(total);
  CHECK(cudaFree(memory) == cudaSuccess);
  check_error(cudaFree(memory), cudaErrorInvalidValue);
  CHECK(cudaFree(nullptr) == cudaSuccess);
  CHECK(cudaMalloc(&memory, 0) == cudaSuccess);
  CHECK(memory == nullptr);
  check_error(cudaMalloc(&memory, std::size_t(1) << 60), cudaErrorMemoryAllocation);
}

TEST_CASE("copies check both of their ends") {
  const DeviceFloats x(counting(8));
  std::vector<float> host(8);
  const std::size_t bytes = x.bytes();
  check_error(cudaMemcpyAsync(x.data(), host.data(), bytes + 1, cudaMemcpyHostToDevice, nullptr),
              cudaErrorInvalidValue);
  check_error(cudaMemcpyAsync(host.data(), x.data() + 1, bytes, cudaMemcpyDeviceToHost, nullptr),
              cudaErrorInvalidValue);
  check_error(cudaMemcpyAsync(host.data(), host.data(), bytes, cudaMemcpyDeviceToHost, nullptr), cudaErrorInvalidValue);
  check_error(cudaMemcpyAsync(x.data(), x.data(), bytes, cudaMemcpyHostToDevice, nullptr), cudaErrorInvalidValue);
  check_error(cudaMemsetAsync(host.data(), 0, bytes, nullptr), cudaErrorInvalidValue);
  const DeviceFloats y(8);
  CHECK(cudaMemcpyAsync(y.data(), x.data(), bytes, cudaMemcpyDeviceToDevice, nullptr) == cudaSuccess);
  CHECK(cudaMemsetAsync(y.data(), 0, bytes / 2, nullptr) == cudaSuccess);
  CHECK(y.host() == std::vector<float>{0, 0, 0, 0, 5, 6, 7, 8});
}

TEST_CASE("a download to pinned memory arrives when the host waits for it") {
  const NewStream stream;
  const DeviceFloats x(counting(2));
  const PinnedFloats first(2), second(2);
  first.data()[0] = 100;
  cudaEvent_t event = nullptr;
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
  CHECK(cudaMemcpyAsync(first.data(), x.data(), x.bytes(), cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  CHECK(cudaEventRecord(event, stream) == cudaSuccess);
  add_one(x, stream);
  CHECK(cudaMemcpyAsync(second.data(), x.data(), x.bytes(), cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  CHECK(std::isnan(first.data()[0]));
  CHECK(cudaEventSynchronize(event) == cudaSuccess);
  CHECK(first.values() == std::vector<float>{1, 2});
  CHECK(std::isnan(second.data()[0]));
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(second.values() == std::vector<float>{2, 3});
  CHECK(cudaEventDestroy(event) == cudaSuccess);

  // What comes later on the same stream sees it arrive in order.
  CHECK(cudaMemcpyAsync(first.data(), x.data(), x.bytes(), cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  const DeviceFloats y(2);
  CHECK(cudaMemcpyAsync(y.data(), first.data(), x.bytes(), cudaMemcpyHostToDevice, stream) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(y.host() == std::vector<float>{2, 3});
}

TEST_CASE("pinned memory is left alone until the upload from it is over") {
  const NewStream stream;
  const DeviceFloats x(2);
  const PinnedFloats source(2);
  const auto upload = [&] {
    CHECK(cudaMemcpyAsync(x.data(), source.data(), x.bytes(), cudaMemcpyHostToDevice, stream) == cudaSuccess);
  };
  cudaEvent_t event = nullptr;
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
  source.data()[0] = source.data()[1] = 1;
  upload();
  CHECK(cudaEventRecord(event, stream) == cudaSuccess);
  add_one(x, stream);
  CHECK(cudaEventSynchronize(event) == cudaSuccess);
  source.data()[0] = 2;  // the upload is over, whatever came after it
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  upload();
  source.data()[0] = 3;
  CHECK_THROWS_WITH(cudaStreamSynchronize(stream), Catch::Contains("the host changed pinned memory"));
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  upload();
  CHECK(cudaEventRecord(event, stream) == cudaSuccess);
  source.data()[0] = 4;
  CHECK_THROWS_WITH(cudaEventSynchronize(event), Catch::Contains("the host changed pinned memory"));
  // The device may write where it has read.
  upload();
  CHECK(cudaMemsetAsync(x.data(), 0, x.bytes(), stream) == cudaSuccess);
  CHECK(cudaMemcpyAsync(source.data(), x.data(), x.bytes(), cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(source.values() == std::vector<float>{0, 0});
  CHECK(cudaEventDestroy(event) == cudaSuccess);
}

TEST_CASE("events measure time") {
  cudaEvent_t from = nullptr, to = nullptr;
  CHECK(cudaEventCreate(&from) == cudaSuccess);
  CHECK(cudaEventCreate(&to) == cudaSuccess);
  float milliseconds = -1;
  check_error(cudaEventElapsedTime(&milliseconds, from, to), cudaErrorInvalidResourceHandle);
  const DeviceFloats x(counting(100));
  CHECK(cudaEventRecord(from, nullptr) == cudaSuccess);
  add_one(x, nullptr);
  CHECK(cudaEventRecord(to, nullptr) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(nullptr, to) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, from, to) == cudaSuccess);
  CHECK(milliseconds > 0);
  cudaEventDestroy(from);
  cudaEventDestroy(to);
}

TEST_CASE("a graph runs what was captured, when it is launched") {
  const NewStream stream;
  const DeviceFloats x(counting(3));
  const PinnedFloats up(3), down(3);
  std::memcpy(up.data(), counting(3).data(), up.bytes());
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaMemcpyAsync(x.data(), up.data(), up.bytes(), cudaMemcpyHostToDevice, stream) == cudaSuccess);
  add_one(x, stream);
  CHECK(cudaMemsetAsync(x.data(), 0, sizeof(float), stream) == cudaSuccess);
  CHECK(cudaMemcpyAsync(down.data(), x.data(), down.bytes(), cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  CHECK(x.host() == counting(3));  // nothing has run
  std::size_t nodes = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &nodes) == cudaSuccess);
  CHECK(nodes == 4);
  cudaGraphExec_t executable = nullptr;
  CHECK(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  for (float start : {1.0f, 10.0f}) {
    up.data()[2] = start;
    CHECK(cudaGraphLaunch(executable, stream) == cudaSuccess);
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(down.values() == std::vector<float>{0, 3, start + 1});
  }
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
}

TEST_CASE("what cannot be captured spoils the capture") {
  const NewStream stream;
  const DeviceFloats x(counting(3));
  std::vector<float> pageable(3);
  void* memory = nullptr;
  const auto spoil = [&](auto&& call) {
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    check_error(call(), cudaErrorStreamCaptureUnsupported);
    cudaGraph_t graph = nullptr;
    check_error(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    CHECK(graph == nullptr);
  };
  spoil([&] { return cudaStreamSynchronize(stream); });
  spoil([&] { return cudaDeviceSynchronize(); });
  spoil([&] { return cudaMalloc(&memory, 4); });
  spoil([&] { return cudaFree(x.data()); });
  spoil([&] { return cudaMallocHost(&memory, 4); });
  spoil([&] { return cudaMemcpyAsync(x.data(), pageable.data(), x.bytes(), cudaMemcpyHostToDevice, stream); });
  spoil([&] { return cudaMemcpyAsync(pageable.data(), x.data(), x.bytes(), cudaMemcpyDeviceToHost, stream); });
  add_one(x, stream);
  CHECK(x.host() == std::vector<float>{2, 3, 4});  // the stream works as before
  cudaGraph_t graph = nullptr;
  check_error(cudaStreamEndCapture(stream, &graph), cudaErrorInvalidValue);
  check_error(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal), cudaErrorStreamCaptureUnsupported);
}

TEST_CASE("an event of a capture cannot be waited for") {
  const NewStream stream;
  cudaEvent_t event = nullptr;
  CHECK(cudaEventCreate(&event) == cudaSuccess);
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaEventRecord(event, stream) == cudaSuccess);
  check_error(cudaEventSynchronize(event), cudaErrorCapturedEvent);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  cudaGraphDestroy(graph);
  cudaEventDestroy(event);
}

TEST_CASE("launches that no GPU takes") {
  const DeviceFloats y(1);
  const auto refusal = [&](dim3 grid, dim3 block, std::size_t shared) -> std::string {
    try {
      FLOWSMITH_LAUNCH(add_one_kernel, grid, block, shared, Emulated{}, y.data(), 0);
    } catch (const GpuError& error) {
      const std::string message = error.what();
      CHECK(message.find('\n') == std::string::npos);
      CHECK(message.find("add_one_kernel") != std::string::npos);
      CHECK(message.find("test_runtime_api.cpp:") != std::string::npos);
      return message;
    }
    return "";
  };
  CHECK(refusal(1, 1024, 227 * 1024) == "");
  CHECK(refusal(dim3(1, 1, 65535), dim3(1, 1, 1), 0) == "");
  CHECK_THAT(refusal(0, 32, 0), Catch::Contains("a grid of (0,1,1) blocks"));
  CHECK_THAT(refusal(dim3(1, 65536), 32, 0), Catch::Contains("a grid of (1,65536,1) blocks"));
  CHECK_THAT(refusal(dim3(1, 1, 65536), 32, 0), Catch::Contains("a grid of (1,1,65536) blocks"));
  CHECK_THAT(refusal(1, 0, 0), Catch::Contains("a block of (0,1,1) threads"));
  CHECK_THAT(refusal(1, 1025, 0), Catch::Contains("a block of (1025,1,1) threads"));
  CHECK_THAT(refusal(1, dim3(64, 32), 0), Catch::Contains("a block of (64,32,1) threads"));
  CHECK_THAT(refusal(1, dim3(1, 1, 65), 0), Catch::Contains("a block of (1,1,65) threads"));
  CHECK_THAT(refusal(1, dim3(65536, 65536), 0), Catch::Contains("a block of (65536,65536,1) threads"));
  CHECK_THAT(refusal(1, 32, 227 * 1024 + 1), Catch::Contains("232449 bytes of shared memory"));
}

}  // namespace
}  // namespace flowsmith::core
