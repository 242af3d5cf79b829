// Which program this is.
#pragma once

#include <string>
#include <string_view>

namespace flowsmith::core {

/// "0.1.0", and the commit that was built where that is known: "0.1.0 (commit 65eff50)".
std::string_view version();

/// The version and how the program was built, one line each: "compiler", "instructions" (the SIMD code that this
/// machine runs) and "CUDA".
std::string build_info();

}  // namespace flowsmith::core
