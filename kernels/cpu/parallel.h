// When threads are worth starting.
#pragma once

#include <cstddef>

namespace flowsmith::core {

/// Waking a team of threads costs some microseconds: about what one thread needs for this many of the
/// cheapest elements (a load, a few operations, a store). Every `omp parallel` over cheap elements asks here.
inline constexpr std::size_t kMinParallelElements = 16384;

inline bool worth_threads(std::size_t elements) { return elements >= kMinParallelElements; }

}  // namespace flowsmith::core
