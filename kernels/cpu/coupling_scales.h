// The transcendental part of a coupling, in vectors.
#pragma once

#include <cstddef>

namespace flowsmith::cpu {

/// Largest bound f of a log-scale that coupling_scales() takes: beyond e^87 floats end.
inline constexpr float kLargestScaleBound = 87.0f;

/// h[i] = tanh(s_raw[i] / f[i]), e[i] = exp(sign * h[i] * f[i]), for 0 < f[i] <= kLargestScaleBound. A NaN stays one.
void coupling_scales(float* h, float* e, const float* s_raw, const float* f, float sign, std::size_t count);

}  // namespace flowsmith::cpu
