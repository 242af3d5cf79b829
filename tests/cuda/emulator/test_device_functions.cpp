// What a thread sees of the grid and of its warp, against the CUDA C++ programming guide.
#include <catch2/catch.hpp>
#include <functional>
#include <vector>

#include "tests/cuda/emulator/device_floats.h"

namespace flowsmith::core {
namespace {

/// Runs body in every thread of a grid, with a slot of doubles for each thread.
template <class Body>
__global__ void body_kernel(double* out, Body body) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = body();
}

template <class Body>
std::vector<double> run(dim3 grid, dim3 block, Body body) {
  const std::size_t size = std::size_t(grid.x) * grid.y * grid.z * block.x * block.y * block.z;
  const DeviceFloats out(2 * size);
  FLOWSMITH_LAUNCH(body_kernel<Body>, grid, block, 0, Emulated{}, reinterpret_cast<double*>(out.data()), body);
  std::vector<double> values(size);
  FLOWSMITH_CUDA_CHECK(
      cudaMemcpyAsync(values.data(), out.data(), size * sizeof(double), cudaMemcpyDeviceToHost, nullptr));
  return values;
}

/// The same for one warp, whose lanes are expected to get want(lane).
template <class Body>
void check_warp(const Body& body, const std::function<double(int)>& want) {
  for (const auto& [name, schedule] : emulator::kSchedules) {
    INFO(name);
    emulator::set_schedule(schedule);
    const std::vector<double> got = run(1, 32, body);
    for (int lane = 0; lane < 32; ++lane) {
      INFO("lane " << lane);
      CHECK(got[lane] == want(lane));
    }
  }
  emulator::set_schedule({});
}

TEST_CASE("threads know their place in a three-dimensional grid") {
  const dim3 grid(3, 2, 5), block(7, 3, 2);
  const auto got = run(grid, block, [] {
    return threadIdx.x + 10.0 * threadIdx.y + 100.0 * threadIdx.z + 1e3 * blockIdx.x + 1e4 * blockIdx.y +
           1e5 * blockIdx.z;
  });
  std::size_t i = 0;
  for (unsigned bz = 0; bz < 5; ++bz) {
    for (unsigned by = 0; by < 2; ++by) {
      for (unsigned bx = 0; bx < 3; ++bx) {
        for (unsigned tz = 0; tz < 2; ++tz) {
          for (unsigned ty = 0; ty < 3; ++ty) {
            for (unsigned tx = 0; tx < 7; ++tx) {
              CHECK(got[i++] == tx + 10.0 * ty + 100.0 * tz + 1e3 * bx + 1e4 * by + 1e5 * bz);
            }
          }
        }
      }
    }
  }
}

TEST_CASE("shuffles") {
  const auto lane = [] { return int(threadIdx.x); };
  check_warp([=] { return __shfl_sync(~0u, lane() * 1.5, 7); }, [](int) { return 7 * 1.5; });
  check_warp([=] { return double(__shfl_sync(~0u, lane(), lane() + 3)); }, [](int l) { return (l + 3) % 32; });
  check_warp([=] { return double(__shfl_sync(~0u, lane(), 3, 8)); }, [](int l) { return l / 8 * 8 + 3; });
  check_warp([=] { return double(__shfl_xor_sync(~0u, float(lane()), 5)); }, [](int l) { return l ^ 5; });
  // Across its segment of width 8 a lane may look back, not ahead.
  check_warp([=] { return double(__shfl_xor_sync(~0u, lane(), 8, 8)); }, [](int l) { return l & 8 ? l ^ 8 : l; });
  check_warp([=] { return double(__shfl_down_sync(~0u, lane(), 2)); }, [](int l) { return l + 2 < 32 ? l + 2 : l; });
  check_warp([=] { return double(__shfl_down_sync(~0u, lane(), 3, 16)); },
             [](int l) { return l % 16 + 3 < 16 ? l + 3 : l; });
  check_warp([=] { return double(__shfl_up_sync(~0u, 0x100000000 + lane(), 1u)); },
             [](int l) { return 4294967296.0 + (l > 0 ? l - 1 : 0); });
  check_warp([=] { return double(__shfl_up_sync(~0u, lane(), 1u, 4)); }, [](int l) { return l % 4 > 0 ? l - 1 : l; });
}

TEST_CASE("shuffles of a part of the warp") {
  check_warp(
      [] {
        const int lane = int(threadIdx.x);
        return lane < 8 ? double(__shfl_xor_sync(0xffu, lane, 1)) : double(__shfl_xor_sync(~0xffu, lane, 2));
      },
      [](int l) { return l < 8 ? l ^ 1 : l ^ 2; });
}

TEST_CASE("votes") {
  const auto lane = [] { return int(threadIdx.x); };
  check_warp([=] { return double(__ballot_sync(~0u, lane() % 3 == 0)); }, [](int) { return double(0x49249249u); });
  check_warp([=] { return double(__any_sync(~0u, lane() == 31)); }, [](int) { return 1; });
  check_warp([=] { return double(__any_sync(~0u, 0)); }, [](int) { return 0; });
  check_warp([=] { return double(__all_sync(~0u, lane() >= 0)); }, [](int) { return 1; });
  check_warp([=] { return double(__all_sync(~0u, lane() != 4)); }, [](int) { return 0; });
}

TEST_CASE("shared variables are one per block, apart and aligned") {
  const auto got = run(4, 96, [] {
    FLOWSMITH_SHARED(unsigned char, byte, [3]);
    FLOWSMITH_SHARED(double, tile, [2][48]);
    FLOWSMITH_SHARED(float, scalar);
    const int t = int(threadIdx.x);
    tile[t / 48][t % 48] = 96.0 * blockIdx.x + t;
    if (t == 0) scalar = 0.5f;
    if (t < 3) byte[t] = static_cast<unsigned char>(t);
    __syncthreads();
    const bool aligned = reinterpret_cast<std::uintptr_t>(&tile) % 16 == 0;
    return aligned ? (&tile[0][0])[95 - t] + scalar + byte[2] : -1;
  });
  for (int i = 0; i < 4 * 96; ++i) CHECK(got[i] == i / 96 * 96 + 95 - i % 96 + 2.5);
}

TEST_CASE("a kernel with many barriers and idle warps") {
  const auto got = run(2, 200, [] {
    FLOWSMITH_SHARED(double, tile, [200]);
    tile[threadIdx.x] = 1;
    for (unsigned reach = 1; reach < 256; reach *= 2) {
      __syncthreads();
      const double left = threadIdx.x >= reach ? tile[threadIdx.x - reach] : 0;
      __syncthreads();
      tile[threadIdx.x] += left;
    }
    return tile[threadIdx.x];
  });
  for (int i = 0; i < 2 * 200; ++i) CHECK(got[i] == i % 200 + 1);
}

TEST_CASE("intrinsics") {
  CHECK(rsqrtf(4.0f) == 0.5f);
  CHECK(rsqrt(0.25) == 2.0);
  CHECK(__expf(1.0f) == std::exp(1.0f));
  CHECK(__logf(2.0f) == std::log(2.0f));
  CHECK(__fdividef(3.0f, 2.0f) == 1.5f);
  CHECK(__uint_as_float(__float_as_uint(-1.5f)) == -1.5f);
  CHECK(__float_as_uint(1.0f) == 0x3f800000u);
}

TEST_CASE("launched kernels are known by their plain names") {
  run(1, 1, [] { return 0.0; });
  CHECK(emulator::launched_kernels().contains("body_kernel"));
  for (const std::string& name : emulator::launched_kernels()) {
    CHECK(name.find_first_of(" <>():") == std::string::npos);
  }
}

}  // namespace
}  // namespace flowsmith::core
