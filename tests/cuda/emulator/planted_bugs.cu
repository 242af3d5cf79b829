#include "kernels/cuda/gpu.h"
#include "tests/cuda/emulator/device_floats.h"
#include "tests/cuda/emulator/planted_bugs.h"

namespace flowsmith::core {
namespace {

constexpr int kThreads = 64;
constexpr int kBlocks = 2;
constexpr unsigned kAllLanes = 0xffffffffu;

// Every kernel: y[i] from x[i], for one element per thread. `bug` plants it.

// ---- order -----------------------------------------------------------------------------------------------------

__global__ void missing_barrier_kernel(float* y, const float* x, bool bug) {
  FLOWSMITH_SHARED(float, tile, [kThreads]);
  const unsigned t = threadIdx.x, i = blockIdx.x * kThreads + t;
  tile[t] = x[i];
  if (!bug) __syncthreads();
  y[i] = tile[kThreads - 1 - t];
}

__global__ void reuse_without_barrier_kernel(float* y, const float* x, bool bug) {
  FLOWSMITH_SHARED(float, tile, [kThreads]);
  const unsigned t = threadIdx.x, i = blockIdx.x * kThreads + t;
  tile[t] = x[i];
  __syncthreads();
  const float other = tile[kThreads - 1 - t];
  if (!bug) __syncthreads();
  tile[t] = 2 * other;
  __syncthreads();
  y[i] = tile[kThreads - 1 - t];
}

__global__ void missing_syncwarp_kernel(float* y, const float* x, bool bug) {
  FLOWSMITH_SHARED(float, tile, [kThreads]);
  const unsigned t = threadIdx.x, i = blockIdx.x * kThreads + t;
  tile[t] = x[i];
  if (!bug) __syncwarp();
  y[i] = tile[t ^ 1];
}

__global__ void shuffle_is_no_fence_kernel(float* y, const float* x, bool bug) {
  FLOWSMITH_SHARED(float, tile, [kThreads]);
  const unsigned t = threadIdx.x, i = blockIdx.x * kThreads + t;
  tile[t] = x[i];
  y[i] = __shfl_xor_sync(kAllLanes, x[i], 1);  // all lanes meet here, but nothing orders their memory
  if (!bug) __syncwarp();
  y[i] += tile[t ^ 1];
}

__global__ void blocks_write_one_word_kernel(float* y, const float* x, bool bug) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  y[i] = x[i];
  if (threadIdx.x == 0) y[bug ? 0 : i] = x[i] + 1;
}

__global__ void threads_write_one_byte_kernel(float* y, const float* x, bool bug) {
  FLOWSMITH_SHARED(unsigned char, bytes, [kThreads]);
  const unsigned t = threadIdx.x, i = blockIdx.x * kThreads + t;
  bytes[bug ? t / 2 * 2 : t] = static_cast<unsigned char>(t);
  __syncthreads();
  y[i] = x[i] + float(bytes[t / 2 * 2]);
}

__global__ void write_over_what_all_read_kernel(float* y, const float* x, bool bug) {
  FLOWSMITH_SHARED(float, total, [1]);
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  if (threadIdx.x == 0) total[0] = x[i];
  __syncthreads();
  const float before = total[0];
  if (!bug) __syncthreads();
  if (threadIdx.x == 40) total[0] = -1;
  y[i] = before + x[i];
}

// ---- memory ----------------------------------------------------------------------------------------------------

__global__ void global_overrun_kernel(float* y, const float* x, bool bug) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  const bool last = i == kBlocks * kThreads - 1;
  y[i] = x[i];
  if (last) y[i + (bug ? 1 : 0)] = x[i];
}

__global__ void global_overrun_read_kernel(float* y, const float* x, bool bug) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  const float next = bug || i + 1 < kBlocks * kThreads ? x[i + 1] : 0;
  y[i] = x[i] + (next > 0 ? 1 : 0);
}

__global__ void static_shared_overrun_kernel(float* y, const float* x, bool bug) {
  FLOWSMITH_SHARED(float, tile, [kThreads]);
  const unsigned t = threadIdx.x, i = blockIdx.x * kThreads + t;
  tile[(t + 1) % kThreads] = x[i];
  if (bug && t == kThreads - 1) tile[t + gridDim.x - 1] = x[i];  // t + 1, which the compiler must not know
  __syncthreads();
  y[i] = tile[t];
}

__global__ void inner_dimension_overrun_kernel(float* y, const float* x, bool bug) {
  FLOWSMITH_SHARED(float, tile, [2][kThreads]);
  const unsigned t = threadIdx.x, i = blockIdx.x * kThreads + t;
  tile[0][t] = x[i];
  tile[1][t] = x[i];
  __syncthreads();
  y[i] = tile[0][bug ? t + 1 : t];
}

__global__ void dynamic_shared_overrun_kernel(float* y, const float* x, bool bug) {
  FLOWSMITH_DYNAMIC_SHARED(float, tile);
  const unsigned t = threadIdx.x, i = blockIdx.x * kThreads + t;
  tile[t] = x[i];
  if (bug && t == 0) tile[kThreads] = 1;
  __syncthreads();
  y[i] = tile[kThreads - 1 - t];
}

__global__ void unwritten_static_shared_kernel(float* y, const float* x, bool bug) {
  FLOWSMITH_SHARED(float, tile, [kThreads]);
  const unsigned t = threadIdx.x, i = blockIdx.x * kThreads + t;
  if (!bug || t != 5) tile[t] = x[i];
  __syncthreads();
  y[i] = fmaxf(tile[kThreads - 1 - t], 0.0f);  // which hides a NaN
}

__global__ void unwritten_dynamic_shared_kernel(float* y, const float* x, bool bug) {
  FLOWSMITH_DYNAMIC_SHARED(float, tile);
  const unsigned t = threadIdx.x, i = blockIdx.x * kThreads + t;
  if (!bug || t != 5) tile[t] = x[i];
  __syncthreads();
  y[i] = fmaxf(tile[kThreads - 1 - t], 0.0f);
}

__global__ void read_kernel(float* y, const float* x) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  y[i] = fmaxf(x[i], 0.0f);
}

__global__ void too_much_static_shared_kernel(float* y, const float* x, bool bug) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  y[i] = x[i];
  if (bug) {
    FLOWSMITH_SHARED(float, tile, [12 * 1024 + 1]);
    tile[threadIdx.x] = x[i];
  }
}

// ---- meeting ---------------------------------------------------------------------------------------------------

__global__ void half_warp_shuffle_kernel(float* y, const float* x, bool bug) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  float value = x[i];
  if (!bug || threadIdx.x % 32 < 16) value += __shfl_xor_sync(kAllLanes, value, 1);
  y[i] = value;
}

__global__ void wrong_mask_kernel(float* y, const float* x, bool bug) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  y[i] = x[i] + __shfl_xor_sync(bug && threadIdx.x == 5 ? 0x0000ffffu : kAllLanes, x[i], 1);
}

__global__ void shuffle_outside_mask_kernel(float* y, const float* x, bool bug) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  y[i] = x[i];
  if (threadIdx.x % 32 < 16) y[i] += __shfl_xor_sync(0x0000ffffu, x[i], bug ? 16 : 1);
}

__global__ void barrier_in_branch_kernel(float* y, const float* x, bool bug) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  if (!bug || threadIdx.x < 32) __syncthreads();
  y[i] = x[i];
}

__global__ void two_barriers_kernel(float* y, const float* x, bool bug) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  if (!bug || threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  y[i] = x[i];
}

__global__ void barrier_against_shuffle_kernel(float* y, const float* x, bool bug) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  float value = x[i];
  if (!bug || threadIdx.x % 32 != 0) value += __shfl_xor_sync(kAllLanes, value, 1);
  __syncthreads();
  y[i] = value;
}

__global__ void return_before_barrier_kernel(float* y, const float* x, bool bug) {
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  y[i] = x[i];
  if (bug && threadIdx.x >= 40) return;
  __syncthreads();
}

// ---- launches --------------------------------------------------------------------------------------------------

template <class Launch>
std::vector<float> run(const Launch& launch) {
  const DeviceFloats x(counting(kBlocks * kThreads)), y(kBlocks * kThreads);
  launch(y.data(), x.data());
  return y.host();
}

#define RUN(kernel)                                                                                                 \
  [](bool planted) {                                                                                                \
    return run([=](float* y, const float* x) {                                                                      \
      FLOWSMITH_LAUNCH(kernel, dim3(kBlocks), dim3(kThreads), kThreads * sizeof(float), Emulated{}, y, x, planted); \
    });                                                                                                             \
  }

std::vector<float> run_read(const float* x) {
  const DeviceFloats y(kBlocks * kThreads);
  FLOWSMITH_LAUNCH(read_kernel, dim3(kBlocks), dim3(kThreads), 0, Emulated{}, y.data(), x);
  return y.host();
}

std::vector<float> read_unwritten(bool planted) {
  if (planted) return run_read(DeviceFloats(kBlocks * kThreads).data());
  return run_read(DeviceFloats(counting(kBlocks * kThreads)).data());
}

std::vector<float> read_freed(bool planted) {
  const DeviceFloats kept(counting(kBlocks * kThreads));
  const DeviceFloats y(kBlocks * kThreads);
  float* gone = DeviceFloats(counting(kBlocks * kThreads)).data();  // freed at the semicolon
  FLOWSMITH_LAUNCH(global_overrun_kernel, dim3(kBlocks), dim3(kThreads), 0, Emulated{}, y.data(),
                   planted ? gone : kept.data(), false);
  return y.host();
}

std::vector<float> read_host(bool planted) {
  const std::vector<float> host = counting(kBlocks * kThreads);
  const DeviceFloats x(host);
  return run_read(planted ? host.data() : x.data());
}

}  // namespace

const std::vector<PlantedBug>& planted_bugs() {
  constexpr const char *kWrite = "race: write over what thread", *kRead = "race: read of what thread",
                       *kReuse = "race: write over what another thread reads",
                       *kUnwrittenShared = "read of shared memory that this block never wrote",
                       *kBeside = "access to shared memory beside all variables",
                       *kNotAllocated = "access to device memory that is not allocated", *kWarp = "warp operation",
                       *kBarrier = "the threads of a block do not meet";
  static const std::vector<PlantedBug> bugs = {
      {"missing barrier", RUN(missing_barrier_kernel), Plain::kDiffers, nullptr, kUnwrittenShared, false},
      {"reuse without barrier", RUN(reuse_without_barrier_kernel), Plain::kDiffers, nullptr, kRead, false},
      {"missing syncwarp", RUN(missing_syncwarp_kernel), Plain::kDiffers, nullptr, kUnwrittenShared, false},
      {"shuffle taken for a fence", RUN(shuffle_is_no_fence_kernel), Plain::kUnseen, nullptr, kRead, false},
      {"blocks write one word", RUN(blocks_write_one_word_kernel), Plain::kDiffers, nullptr, kWrite, false},
      {"threads write one byte", RUN(threads_write_one_byte_kernel), Plain::kDiffers, nullptr, kWrite, false},
      {"write over what all read", RUN(write_over_what_all_read_kernel), Plain::kDiffers, nullptr, kReuse, false},
      {"global overrun", RUN(global_overrun_kernel), Plain::kUnseen, nullptr, kNotAllocated, true},
      {"global overrun, reading", RUN(global_overrun_read_kernel), Plain::kUnseen, nullptr, kNotAllocated, true},
      {"static shared overrun", RUN(static_shared_overrun_kernel), Plain::kUnseen, nullptr, kBeside, true},
      {"inner dimension overrun", RUN(inner_dimension_overrun_kernel), Plain::kUnseen, nullptr, nullptr, true},
      {"dynamic shared overrun", RUN(dynamic_shared_overrun_kernel), Plain::kUnseen, nullptr, kBeside, true},
      {"unwritten static shared", RUN(unwritten_static_shared_kernel), Plain::kDiffers, nullptr, kUnwrittenShared,
       false},
      {"unwritten dynamic shared", RUN(unwritten_dynamic_shared_kernel), Plain::kDiffers, nullptr, kUnwrittenShared,
       false},
      {"unwritten device memory", read_unwritten, Plain::kDiffers, nullptr, "read of device memory never written",
       false},
      {"freed device memory", read_freed, Plain::kDiffers, nullptr, kNotAllocated, true},
      {"host memory in a kernel", read_host, Plain::kUnseen, nullptr, "access to host memory", false},
      {"too much static shared", RUN(too_much_static_shared_kernel), Plain::kError, "more shared memory", nullptr,
       false},
      {"half-warp shuffle", RUN(half_warp_shuffle_kernel), Plain::kError, kWarp, nullptr, false},
      {"wrong mask", RUN(wrong_mask_kernel), Plain::kError, kWarp, nullptr, false},
      {"shuffle outside its mask", RUN(shuffle_outside_mask_kernel), Plain::kError, "not in its mask", nullptr, false},
      {"barrier in a branch", RUN(barrier_in_branch_kernel), Plain::kError, kBarrier, nullptr, false},
      {"two barriers", RUN(two_barriers_kernel), Plain::kError, kBarrier, nullptr, false},
      {"barrier against shuffle", RUN(barrier_against_shuffle_kernel), Plain::kError, kWarp, nullptr, false},
      {"return before a barrier", RUN(return_before_barrier_kernel), Plain::kError, kBarrier, nullptr, false},
  };
  return bugs;
}

}  // namespace flowsmith::core
