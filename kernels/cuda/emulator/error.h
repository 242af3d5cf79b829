// How the emulator reports: the one place that knows the project's exception.
#pragma once

#include <string>

namespace flowsmith::core::emulator {

/// Throws GpuError.
[[noreturn]] void throw_error(const std::string& message);

}  // namespace flowsmith::core::emulator
