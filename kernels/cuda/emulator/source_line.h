// From an address in the program's code to its source.
#pragma once

#include <string>

namespace flowsmith::core::emulator {

/// "file:line from file:line" for a call that was inlined, asking addr2line; the address where that does not help.
std::string source_line(const void* code);

}  // namespace flowsmith::core::emulator
