// A fixed permutation of the channels of every pixel: what lets a coupling transform the other half of them (NICE,
// Dinh, Krueger, Bengio 2015, section 3.2; the 1x1 convolution of Glow is its learned form).
//
//   out[n, y, x, k] = in[n, y, x, order[k]]
//
// Its log-determinant is 0 and its backward is its inverse. `order` (c) holds each of 0 ... c-1 once, in the memory of
// the device.
#pragma once

#include <vector>

#include "kernels/types.h"

namespace flowsmith::core {

/// c-1, c-2, ..., 0.
std::vector<std::uint32_t> reverse_order(int c);
/// A random order of 0 ... c-1, each of them equally likely; the same for the same seed.
std::vector<std::uint32_t> random_order(int c, std::uint64_t seed);

/// Shapes: out, in (n,h,w,c). out may be in.
template <class T>
void permute_forward(T* out, const T* in, const std::uint32_t* order, MapShape shape, Reference);
template <class T>
void permute_forward(T* out, const T* in, const std::uint32_t* order, MapShape shape, Cpu);
template <class T, Gpu G>
void permute_forward(T* out, const T* in, const std::uint32_t* order, MapShape shape, G gpu);

/// The inverse: in[.., order[k]] = out[.., k]; in may be out. As a gradient destination `in` may accumulate:
/// permute_inverse(din, dout) is the backward of permute_forward.
template <class T>
void permute_inverse(Grad<T> in, const T* out, const std::uint32_t* order, MapShape shape, Reference);
template <class T>
void permute_inverse(Grad<T> in, const T* out, const std::uint32_t* order, MapShape shape, Cpu);
template <class T, Gpu G>
void permute_inverse(Grad<T> in, const T* out, const std::uint32_t* order, MapShape shape, G gpu);

}  // namespace flowsmith::core
