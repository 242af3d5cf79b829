// The race build compiles the kernels with -fsanitize=thread and does not link ThreadSanitizer: its hooks, which the
// compiler calls at each access to memory, are here.
#pragma once

#include <cstddef>

namespace flowsmith::core::emulator {

/// Ends the kernel if the access is a race, or to memory that is not there or not initialised. `code`: the return
/// address of the hook.
void check_access(const void* memory, std::size_t bytes, bool is_write, const void* code);

}  // namespace flowsmith::core::emulator
