// The state of the block that runs: there is one at a time. Shared by scheduler.cpp, which moves from thread to thread,
// device_functions.cpp, which is what the threads call, and race_shadow.cpp, which looks at what they touch.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "kernels/cuda/emulator/fiber.h"
#include "kernels/cuda/emulator/launch.h"
#include "kernels/cuda/emulator/shared_memory.h"
#include "kernels/cuda/emulator/warp.h"

namespace flowsmith::core::emulator {

inline constexpr int kMaxThreads = kMaxFibers;

struct Block {
  explicit Block(void (*fiber_main)()) : fibers(fiber_main) {}

  FiberPool fibers;
  SharedMemory shared;
  Context scheduler;  ///< the stack of run_kernel
  const KernelCall* call = nullptr;
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
  const Warp& my_warp() const { return warp[thread / 32]; }
  int my_lane() const { return thread % 32; }

  /// Whether the address is in the stack of a thread or in the arguments of the kernel.
  bool holds_stack_or_argument(const void* address) const {
    const auto* arguments = static_cast<const char*>(call->arguments.get());
    return fibers.holds(address) || (address >= arguments && address < arguments + call->arguments_bytes);
  }
};

/// Null while no thread runs: on the host, in the scheduler, and once a thread has failed.
extern Block* running_block;

/// Leaves the running thread, which waits, for another of its warp or for the scheduler.
void wait(Block& b);

inline std::string text_of(uint3 index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," + std::to_string(index.z) + ")";
}
inline std::string text_of(const Place& place) { return std::string(place.file) + ":" + std::to_string(place.line); }
inline bool same_place(const Place& a, const Place& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

/// Ends the kernel with an error at the line that `code`, an address behind a call, belongs to.
[[noreturn]] void fail_at_code(const char* what, const void* code);

}  // namespace flowsmith::core::emulator
