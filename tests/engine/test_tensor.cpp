#include <catch2/catch.hpp>

#include "engine/device.h"
#include "engine/dispatch.h"
#include "engine/tensor.h"
#include "kernels/cpu/bf16/tiles.h"

using namespace flowsmith;

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
    CHECK(select_device(device_name(device)) == device);
  }
  CHECK((select_device("auto") == Device::kCpu || select_device("auto") == Device::kCuda));
  for (const char* const text : {"cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cuda1", ""}) {
    CHECK_THROWS_WITH(select_device(text), Catch::Contains("unknown device"));
  }
  CHECK_THROWS_WITH(select_device("cuda:999"), !Catch::Contains("unknown device") && Catch::Contains("--device cpu"));
  CHECK_THROWS_WITH(select_device("gpu"), Catch::Contains("'gpu'") && Catch::Contains("choose"));
  CHECK_THROWS_WITH(set_thread_count(-1), Catch::Contains("-1"));
  CHECK(set_thread_count(2) == 2);
}

TEST_CASE("the host's stream carries what its networks multiply, if this machine can") {
  const auto seen = [] {
    Cpu got;
    dispatch_device(Device::kCpu, [&](auto stream) {
      if constexpr (std::is_same_v<decltype(stream), Cpu>) got = stream;
    });
    return got;
  };
  CHECK(seen().precision == NetPrecision::kFp32);
  CHECK(describe_device(Device::kCpu).find("bf16") == std::string::npos);
  set_cpu_stream({NetPrecision::kBf16, true});
  CHECK(seen().precision == NetPrecision::kBf16);
  CHECK(seen().tile_model);
  CHECK_THAT(describe_device(Device::kCpu), Catch::Contains("networks in bf16 by model of AMX"));
  CHECK_THROWS_WITH(set_cpu_stream({NetPrecision::kTf32}), Catch::Contains("needs a GPU"));
  CHECK(seen().precision == NetPrecision::kBf16);  // as it was
  set_cpu_stream({});
  if (cpu::bf16::hardware_tiles() == nullptr) {
    CHECK_THROWS_WITH(set_cpu_stream({NetPrecision::kBf16}), Catch::Contains("AMX or AVX512-BF16"));
  } else {
    set_cpu_stream({NetPrecision::kBf16});
    set_cpu_stream({});
  }
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
