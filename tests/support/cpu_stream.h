// What Device::kCpu computes with, for the life of a test.
#pragma once

#include "engine/device.h"

namespace flowsmith {

/// Networks in bf16 by the plain loops that model AMX: these run on every machine.
inline constexpr Cpu kBf16Model{NetPrecision::kBf16, true};

class UseCpuStream {
 public:
  explicit UseCpuStream(Cpu stream) { set_cpu_stream(stream); }
  ~UseCpuStream() { set_cpu_stream({}); }
  UseCpuStream(const UseCpuStream&) = delete;
  UseCpuStream& operator=(const UseCpuStream&) = delete;
};

}  // namespace flowsmith
