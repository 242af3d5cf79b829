// Runs a kernel: its blocks one after the other, the threads of a block as fibers.
//
// A fiber runs thread after thread until one has to wait; a thread that waits keeps the fiber. One warp runs until all
// its lanes wait at a barrier or have returned, then the next one. Barriers open only when all threads of the block
// wait at the same line; at each, the order of warps and lanes is drawn again.
#pragma once

#include "kernels/cuda/emulator/launch.h"

namespace flowsmith::core::emulator {

/// Runs the whole grid. Throws GpuError.
void run_kernel(const KernelCall& call);

}  // namespace flowsmith::core::emulator
