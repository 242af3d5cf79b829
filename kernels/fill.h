// x[i] = value: where a backward pass starts (dloss = 1).
#pragma once

#include <algorithm>

#include "kernels/types.h"

namespace flowsmith::core {

inline void fill(double* x, double value, std::size_t size, Reference) { std::fill_n(x, size, value); }
inline void fill(double* x, double value, std::size_t size, Cpu) { std::fill_n(x, size, value); }
template <Gpu G>
void fill(double* x, double value, std::size_t size, G gpu);

}  // namespace flowsmith::core
