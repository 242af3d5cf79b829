// Additive coupling (NICE, Dinh et al. 2015, section 3.2): elements that the mask hides are shifted by what a network
// says of the others. Volumes stay as they are, so there is no log-determinant.
//
//   forward  z' = z + (1 - mask) t
//   inverse  z  = z' - (1 - mask) t
//
// Where mask = 1 the output is a copy of the input, bit for bit. Z is the type of the flow's path, S that of the
// network.
#pragma once

#include "kernels/mask.h"

namespace flowsmith::core {

/// z_out (n,h,w,c), z (n,h,w,c), t (n,h,w,c). z_out may be z itself. Expands by nothing: s = 0.
template <class Z, class S>
void additive_coupling_forward(Z* z_out, const Z* z, const S* t, MapShape shape, Mask mask, Reference);
template <class Z>
void additive_coupling_forward(Z* z_out, const Z* z, const float* t, MapShape shape, Mask mask, Cpu);
template <class Z, Gpu G>
void additive_coupling_forward(Z* z_out, const Z* z, const float* t, MapShape shape, Mask mask, G gpu);

/// The inverse. z may be z_out itself.
template <class Z, class S>
void additive_coupling_inverse(Z* z, const Z* z_out, const S* t, MapShape shape, Mask mask, Reference);
template <class Z>
void additive_coupling_inverse(Z* z, const Z* z_out, const float* t, MapShape shape, Mask mask, Cpu);
template <class Z, Gpu G>
void additive_coupling_inverse(Z* z, const Z* z_out, const float* t, MapShape shape, Mask mask, G gpu);

/// dz = dz_out, dt = (1 - mask) dz_out; neither needs z or t. dz may overwrite dz_out itself.
template <class Z, class S>
void additive_coupling_backward(Grad<Z> dz, Grad<S> dt, const Z* dz_out, MapShape shape, Mask mask, Reference);
template <class Z>
void additive_coupling_backward(Grad<Z> dz, Grad<float> dt, const Z* dz_out, MapShape shape, Mask mask, Cpu);
template <class Z, Gpu G>
void additive_coupling_backward(Grad<Z> dz, Grad<float> dt, const Z* dz_out, MapShape shape, Mask mask, G gpu);

}  // namespace flowsmith::core
