// The arithmetic ceiling of this machine, measured: what the speed of a kernel is held against.
#pragma once

#include <string>

namespace flowsmith::core::cpu {

/// The instruction set that the SIMD kernels use on this machine, in Highway's words, e.g. "AVX3".
std::string simd_target();

/// Float operations per second, a multiply-add counting two, of all OpenMP threads together when they do nothing but
/// independent multiply-adds on registers for about `seconds`.
double measure_fma_peak(double seconds);

}  // namespace flowsmith::core::cpu
