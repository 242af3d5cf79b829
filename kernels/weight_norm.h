// Weight normalisation (Salimans, Kingma 2016, eq. 2): the length of each output channel's weights is a parameter g of
// its own, and v only gives their direction.
//
//   w[k][o] = g[o] * v[k][o] / |v[.][o]|, |v| = sqrt(sum over k of v^2 + eps^2)
//
// k runs over ky, kx and in. eps keeps w and all gradients finite at v = 0; a |v| of 1e-2 or more does not see it in
// float. Squares and dot products are summed in double.
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

inline constexpr double kWeightNormEps = 1e-6;

/// A weight [ky][kx][in][out], or [in][out] of a dense layer.
struct WeightNormShape {
  std::size_t rows = 0;  ///< ky * kx * in
  int out = 0;

  FLOWSMITH_HD std::size_t size() const { return rows * out; }
};

/// Shapes: w, v (rows, out), g (out).
template <class T>
void weight_norm_forward(T* w, const T* v, const T* g, WeightNormShape shape, Reference);
void weight_norm_forward(float* w, const float* v, const float* g, WeightNormShape shape, Cpu);
template <Gpu G>
void weight_norm_forward(float* w, const float* v, const float* g, WeightNormShape shape, G gpu);

/// With s[o] = sum over k of dw[k][o] * v[k][o]:
///   dg = s / |v|, dv = g / |v| * (dw - v * s / |v|^2)    (eq. 3)
template <class T>
void weight_norm_backward(Grad<T> dv, Grad<T> dg, const T* dw, const T* v, const T* g, WeightNormShape shape,
                          Reference);
void weight_norm_backward(Grad<float> dv, Grad<float> dg, const float* dw, const float* v, const float* g,
                          WeightNormShape shape, Cpu);
template <Gpu G>
void weight_norm_backward(Grad<float> dv, Grad<float> dg, const float* dw, const float* v, const float* g,
                          WeightNormShape shape, G gpu);

}  // namespace flowsmith::core
