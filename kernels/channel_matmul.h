// A learned matrix on the channels of every pixel: the invertible 1x1 convolution (Glow, Kingma and Dhariwal 2018,
// section 3.2). On vectors, maps of one pixel, it is a linear layer.
//
//   z'[p, :] = W z[p, :]          logdet += h * w * log|det W|
//
// The inverse is the same product with W^-1, which kernels/matrix_inverse.h makes in double; it makes log|det W| too,
// kernels/shared_logdet.h adds it, and kernels/plu.h composes W from factors that know it.
//
// Z is the type of the flow's path, M that of the matrix. A sum over the channels is in the wider of the two, in the
// order of the channels.
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

/// z_out, z (n,h,w,c); matrix (c,c) by [out][in]. z_out may be z.
template <class Z, class M>
void channel_matmul_forward(Z* z_out, const Z* z, const M* matrix, MapShape shape, Reference);
template <class Z, class M>
void channel_matmul_forward(Z* z_out, const Z* z, const M* matrix, MapShape shape, Cpu);
template <class Z, class M, Gpu G>
void channel_matmul_forward(Z* z_out, const Z* z, const M* matrix, MapShape shape, G gpu);

/// dz[p, :] = W^T dz_out[p, :], dmatrix[o][i] = sum over the pixels of the batch of dz_out[p, o] * z[p, i].
/// That sum has a fixed order, whatever the number of threads. dz may overwrite dz_out itself.
template <class Z, class S>
void channel_matmul_backward(Grad<Z> dz, Grad<S> dmatrix, const Z* dz_out, const Z* z, const S* matrix, MapShape shape,
                             Reference);
template <class Z>
void channel_matmul_backward(Grad<Z> dz, Grad<float> dmatrix, const Z* dz_out, const Z* z, const float* matrix,
                             MapShape shape, Cpu);
template <class Z, Gpu G>
void channel_matmul_backward(Grad<Z> dz, Grad<float> dmatrix, const Z* dz_out, const Z* z, const float* matrix,
                             MapShape shape, G gpu);

}  // namespace flowsmith::core
