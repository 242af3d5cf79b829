// An emulated GPU with little memory left.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/emulator/emulator.h"
#include "kernels/cuda/runtime.h"

namespace flowsmith::core {

/// While one exists, so many bytes of the emulated GPU are free, and what is freed meanwhile.
class ScarceGpu {
 public:
  explicit ScarceGpu(std::size_t free_bytes) {
    const GpuInfo info = GpuRuntime<Emulated>::info();
    emulator::set_memory_limit(info.memory - info.free_memory + free_bytes);
  }
  ScarceGpu(const ScarceGpu&) = delete;
  ~ScarceGpu() { emulator::set_memory_limit(SIZE_MAX); }
};

}  // namespace flowsmith::core
