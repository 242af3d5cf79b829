// The state of the block that runs: there is one at a time. Shared by scheduler.cpp, which moves from thread to thread,
// and device_functions.cpp, which is what the threads call.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/cuda/emulator/fiber.h"
#include "kernels/cuda/emulator/launch.h"
#include "kernels/cuda/emulator/shared_memory.h"
#include "kernels/cuda/emulator/warp.h"

namespace flowsmith::emulator {

inline constexpr int kMaxThreads = kMaxFibers;

struct Block {
  explicit Block(void (*fiber_main)()) : fibers(fiber_main) {}

  FiberPool fibers;
  SharedMemory shared;
  Context scheduler;  ///< the stack of run_kernel
  const KernelCall* call = nullptr;
  bool in_thread = false;  ///< false while the scheduler runs, and once a thread has failed
  int threads = 0, warps = 0;
  std::uint32_t number = 0;             ///< counted through the grid
  std::uint32_t barriers = 0;           ///< that it has passed
  int thread = 0;                       ///< the running one
  Context* fiber = nullptr;             ///< and its stack
  uint3 index[kMaxThreads];             ///< threadIdx of each
  Context* fiber_of[kMaxThreads] = {};  ///< null before its start and after its end
  Warp warp[kMaxThreads / 32];
  std::string error;
  const void* error_code = nullptr;  ///< an address in the code that went wrong, if its line is not in the error

  Warp& my_warp() { return warp[thread / 32]; }
  int my_lane() const { return thread % 32; }
};

Block& block();

/// Leaves the running thread, which waits, for another of its warp or for the scheduler.
void wait(Block& b);

inline std::string text_of(uint3 index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," + std::to_string(index.z) + ")";
}
inline std::string text_of(const Place& place) { return std::string(place.file) + ":" + std::to_string(place.line); }
bool same_place(const Place& a, const Place& b);

}  // namespace flowsmith::emulator
