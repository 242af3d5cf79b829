// Squeeze: 2x2 squares of pixels become channels (RealNVP, Dinh et al. 2017, section 3.6).
//
//   out[n, i, j, 4*k + 2*dy + dx] = in[n, 2*i + dy, 2*j + dx, k]
//
// A permutation, so its log-determinant is 0 and its backward is its inverse.
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

/// in (n,h,w,c) with even h and w, out (n,h/2,w/2,4c). `shape` is that of `in`.
template <class T>
void squeeze_forward(T* out, const T* in, MapShape shape, Reference);
template <class T>
void squeeze_forward(T* out, const T* in, MapShape shape, Cpu);
template <class T, Gpu G>
void squeeze_forward(T* out, const T* in, MapShape shape, G gpu);

/// The inverse permutation; `shape` is that of `in`, the un-squeezed side. As a gradient destination
/// `in` may accumulate: squeeze_inverse(din, dout) is the backward of squeeze_forward.
template <class T>
void squeeze_inverse(Grad<T> in, const T* out, MapShape shape, Reference);
template <class T>
void squeeze_inverse(Grad<T> in, const T* out, MapShape shape, Cpu);
template <class T, Gpu G>
void squeeze_inverse(Grad<T> in, const T* out, MapShape shape, G gpu);

}  // namespace flowsmith::core
