// What kernels of a GPU share, whoever launches them: its stream and its scratch memory.
#pragma once

#include "kernels/cuda/runtime.h"
#include "kernels/error.h"

namespace flowsmith::core {

/// Whether this build has the kernels compiled for GPUs.
#ifdef FLOWSMITH_WITH_CUDA
inline constexpr bool kHasCuda = true;
#else
inline constexpr bool kHasCuda = false;
#endif

/// Whether this build has the emulator and the kernels compiled for it: those with tests do, and what is installed does
/// not.
#ifdef FLOWSMITH_WITH_EMULATOR
inline constexpr bool kHasEmulator = true;
#else
inline constexpr bool kHasEmulator = false;
#endif

/// What all work on the GPU of this process shares; there is one, for CUDA itself has one current device per thread.
/// Flows take turns on it: one thread of the host at a time.
template <Gpu G>
class GpuContext final : public GpuWorkspace {
 public:
  static GpuContext& instance() {
    static GpuContext context;
    return context;
  }

  /// The stream tag of kernels that compute like this.
  G stream(NetPrecision precision, ConvAlgorithm conv) { return {GpuRuntime<G>::stream(), this, precision, conv}; }

  /// Blocks that became too small are kept until the process ends: captured graphs hold their addresses. Each is twice
  /// its predecessor, so together they are no larger than the last.
  void* reserve(std::size_t bytes) override {
    if (bytes > size_) {
      const std::size_t size = bytes > 2 * size_ ? bytes : 2 * size_;
      try {
        block_ = GpuRuntime<G>::allocate(size);
      } catch (const OutOfMemory& error) {
        throw OutOfMemory("out of memory for the kernels: " + std::string(error.what()) + "; choose a smaller batch");
      }
      size_ = size;
    }
    return block_;
  }

 private:
  GpuContext() = default;

  void* block_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace flowsmith::core
