// bfloat16: the upper half of a float, so its exponent and 7 bits of its mantissa.
#pragma once

#include <bit>
#include <cstdint>

namespace flowsmith::core::cpu::bf16 {

using Bf16 = std::uint16_t;

/// The nearest one, of two equally near the even one: an error of at most 2^-9 of the value. What is too large becomes
/// infinite, and not a number stays not a number.
inline Bf16 to_bf16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
  return Bf16((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

inline float to_float(Bf16 value) { return std::bit_cast<float>(std::uint32_t(value) << 16); }

}  // namespace flowsmith::core::cpu::bf16
