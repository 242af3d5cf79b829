#include <catch2/catch.hpp>

#include "engine/device.h"
#include "engine/dispatch.h"
#include "engine/tensor.h"
#include "tests/support/bf16_model.h"
#include "tests/support/error_of.h"

using namespace flowsmith::core;

TEST_CASE("shapes count their elements and print themselves") {
  CHECK(Shape{}.size() == 1);
  CHECK(Shape{}.to_string() == "()");
  CHECK(Shape{3, 0, 2}.size() == 0);
  CHECK(Shape{2, 3, 5, 7}.size() == 210);
  CHECK(Shape{2, 3, 5, 7}.to_string() == "(2, 3, 5, 7)");
  CHECK(Shape{2, 3} != Shape{2, 3, 1});
  CHECK(Shape{1, 2, 3, 4}.map().c == 4);
  CHECK_THROWS_WITH((Shape{1, 2, 3, 4, 5}), Catch::Contains("four"));
  CHECK_THROWS_WITH((Shape{-1}), Catch::Contains("negative"));
  CHECK_THROWS_WITH((Shape{1, 2}.map()), Catch::Contains("(1, 2)"));
}

TEST_CASE("a tensor's elements are read as what they are") {
  float values[6] = {};
  const Tensor tensor(values, DType::kF32, Shape{2, 3});
  CHECK(tensor.data<float>() == values);
  CHECK(tensor.bytes() == sizeof values);
  CHECK_THROWS_WITH(tensor.data<double>(), Catch::Contains("f32") && Catch::Contains("f64"));
  CHECK_THROWS_WITH(require_tensor(tensor, DType::kF32, Shape{3, 2}, "it"), Catch::Contains("it is f32 (2, 3)"));
  CHECK_NOTHROW(require_tensor(tensor, DType::kF32, Shape{2, 3}, "it"));
}

TEST_CASE("devices have names and everything else is refused") {
  for (const Device device : {Device::kCpu, Device::kReference, Device::kEmulated}) {
    CHECK(select_device(device_name(device)).kind == device.kind);
  }
  const DeviceKind automatic = select_device("auto").kind;
  CHECK((automatic == DeviceKind::kCpu || automatic == DeviceKind::kCuda));
  for (const char* const text : {"cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cuda1", ""}) {
    CHECK_THROWS_WITH(select_device(text), Catch::Contains("unknown device"));
  }
  CHECK_THROWS_WITH(select_device("cuda:999"), !Catch::Contains("unknown device") && Catch::Contains("GPU"));
  CHECK_THROWS_WITH(select_device("gpu"), Catch::Contains("'gpu'") && Catch::Contains("choose"));
}

TEST_CASE("kernels get the settings of the device that they are called for") {
  const auto seen = [](Device device) {
    Cpu got;
    dispatch_device(device, [&](auto stream) {
      if constexpr (std::is_same_v<decltype(stream), Cpu>) got = stream;
    });
    return got;
  };
  CHECK(seen(Device::kCpu).precision == NetPrecision::kFp32);
  CHECK_FALSE(seen(Device::kCpu).tile_model);
  CHECK(seen(kBf16Model).precision == NetPrecision::kBf16);
  CHECK(seen(kBf16Model).tile_model);
  for (const ConvAlgorithm conv : {ConvAlgorithm::kFused, ConvAlgorithm::kCudnn}) {
    dispatch_device({.kind = DeviceKind::kEmulated, .precision = NetPrecision::kTf32, .conv = conv}, [&](auto stream) {
      if constexpr (Gpu<decltype(stream)>) {
        CHECK(stream.precision == NetPrecision::kTf32);
        CHECK(stream.conv == conv);
      }
    });
  }
  CHECK_THAT(describe_device(Device{.threads = 1}), Catch::Contains("cpu, 1 thread") && !Catch::Contains("bf16"));
  CHECK_THAT(describe_device(kBf16Model), Catch::Contains("networks in bf16 by model of AMX"));
}

TEST_CASE("kernels run on the threads of their device, and nothing else does") {
  const int before = omp_get_max_threads();
  const auto team = [](Device device) {
    int threads = 0;
    dispatch_device(device, [&](auto) {
#pragma omp parallel
#pragma omp single
      threads = omp_get_num_threads();
    });
    return threads;
  };
  for (const int threads : {1, 3, 2}) {
    CHECK(team({.threads = threads}) == threads);
    CHECK(thread_count({.threads = threads}) == threads);
    CHECK(omp_get_max_threads() == before);
    CHECK(team(Device::kCpu) == before);
  }
  struct Stop {};
  CHECK_THROWS_AS(dispatch_device(Device{.threads = before + 1}, [](auto) { throw Stop{}; }), Stop);
  CHECK(omp_get_max_threads() == before);
}

TEST_CASE("what a device cannot do is refused in the library's own words") {
  using Catch::Contains;
  const auto refusal = [](Device device) {
    const std::string line = error_of([&] { require_usable(device); });
    CHECK_THAT(line, !Contains("--") && !Contains("\n"));
    return line;
  };
  for (const Device device : {Device::kCpu, Device::kReference, Device::kEmulated, kBf16Model}) {
    CHECK_NOTHROW(require_usable(device));
  }
  CHECK_NOTHROW(require_usable({.kind = DeviceKind::kEmulated, .precision = NetPrecision::kTf32, .graphs = false}));
  CHECK_THAT(refusal({.threads = -1}), Contains("-1 threads"));
  CHECK_THAT(refusal({.threads = 4097}), Contains("4097 threads"));
  CHECK_THAT(refusal({.precision = NetPrecision::kTf32}), Contains("tf32 need a GPU"));
  CHECK_THAT(refusal({.kind = DeviceKind::kReference, .precision = NetPrecision::kBf16}), Contains("bf16"));
  if (cpu_has_bf16()) {
    CHECK_NOTHROW(require_usable({.precision = NetPrecision::kBf16}));
  } else {
    CHECK_THAT(refusal({.precision = NetPrecision::kBf16}), Contains("AMX or AVX512-BF16"));
  }
  CHECK_THAT(refusal({.conv = ConvAlgorithm::kCudnn}), Contains("cuDNN need a GPU"));
  CHECK_THAT(refusal({.kind = DeviceKind::kEmulated, .precision = NetPrecision::kBf16, .conv = ConvAlgorithm::kCudnn}),
             Contains("fp32 or tf32"));
  // No cuDNN of this machine can work on the emulator, so there is none.
  CHECK_THAT(refusal({.kind = DeviceKind::kEmulated, .conv = ConvAlgorithm::kCudnn}), Contains("libcudnn.so.9"));
}

TEST_CASE("dispatch picks the stream and the types, and refuses what a backend does not have") {
  int calls = 0;
  const auto expect = [&](auto wanted_stream, auto wanted_type) {
    return [&calls, wanted_stream, wanted_type](auto stream, auto type) {
      CHECK(std::is_same_v<decltype(stream), std::remove_const_t<decltype(wanted_stream)>>);
      CHECK(std::is_same_v<decltype(type), std::remove_const_t<decltype(wanted_type)>>);
      ++calls;
    };
  };
  dispatch_path(Device::kCpu, DType::kF64, expect(Cpu{}, double{}));
  dispatch_path(Device::kReference, DType::kF32, expect(Reference{}, float{}));
  dispatch_network(Device::kCpu, DType::kF32, expect(Cpu{}, float{}));
  dispatch_network(Device::kReference, DType::kF64, expect(Reference{}, double{}));
  CHECK(calls == 4);
  dispatch_mixed(Device::kCpu, DType::kF64, DType::kF32, [&](auto, auto z, auto s) {
    CHECK(std::is_same_v<decltype(z), double>);
    CHECK(std::is_same_v<decltype(s), float>);
    ++calls;
  });
  CHECK(calls == 5);
  const auto nothing = [](auto...) { FAIL("must not run"); };
  CHECK_THROWS_AS(dispatch_network(Device::kCpu, DType::kF64, nothing), Error);
  CHECK_THROWS_AS(dispatch_mixed(Device::kReference, DType::kF32, DType::kF64, nothing), Error);
  CHECK_THROWS_AS(dispatch_path(Device::kCpu, DType::kU8, nothing), Error);
}
