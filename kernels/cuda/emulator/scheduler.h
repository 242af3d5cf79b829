// Runs a kernel: its blocks one after the other, the threads of a block as fibers.
//
// A fiber runs thread after thread until one has to wait; a thread that waits keeps the fiber. One warp runs until all
// its lanes wait at a barrier or have returned, then the next one. Barriers open only when all threads of the block
// wait at the same line; at each, the order of warps and lanes is drawn again.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/emulator/launch.h"

namespace flowsmith::emulator {

/// Runs the whole grid. Throws GpuError.
void run_kernel(const KernelCall& call);

/// Who runs, for the race shadow.
struct RunningThread {
  std::uint32_t block;          ///< counted through the grid
  std::uint32_t barriers;       ///< that the block has passed
  std::uint16_t thread;         ///< in the block
  std::uint16_t warp_barriers;  ///< calls of __syncwarp that all live lanes of its warp have passed
};
/// False on the host.
bool in_kernel();
RunningThread running_thread();
/// Whether the address is in the stack of a thread or in the arguments of the kernel that runs.
bool is_stack_or_argument(const void* address);
/// Ends the kernel with an error at the line that `code`, an address behind a call, belongs to.
[[noreturn]] void fail_at_code(const char* what, const void* code);

}  // namespace flowsmith::emulator
