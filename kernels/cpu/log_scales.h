// The transcendental part of an affine coupling, in vectors of floats. A NaN stays one.
#pragma once

#include <cstddef>

namespace flowsmith::core::cpu {

/// Largest size of an exponent that these take: beyond e^87 floats end.
inline constexpr float kLargestExponent = 87.0f;

/// h[i] = tanh(s_raw[i] / f[i]), e[i] = exp(sign * h[i] * f[i]), for 0 < f[i] <= kLargestExponent.
void tanh_scales(float* h, float* e, const float* s_raw, const float* f, float sign, std::size_t count);

/// e[i] = exp(sign * s[i]) where |s[i]| <= kLargestExponent; elsewhere a finite number.
void exp_scales(float* e, const float* s, float sign, std::size_t count);

/// s[i] = log(2 sigmoid(x)), ds[i] = ds/dx = sigmoid(-x), e[i] = exp(sign * s[i]) with x = s_raw[i] + shift, where |x|
/// <= kLargestExponent; elsewhere finite numbers.
void sigmoid_scales(float* s, float* ds, float* e, const float* s_raw, float shift, float sign, std::size_t count);

}  // namespace flowsmith::core::cpu
