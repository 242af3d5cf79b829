#include "kernels/cuda/emulator/error.h"

#include "kernels/error.h"

namespace flowsmith::core::emulator {

void throw_error(const std::string& message) { throw GpuError(message); }

}  // namespace flowsmith::core::emulator
