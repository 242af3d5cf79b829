// Layer normalization over the channels of each pixel (Ba, Kiros, Hinton 2016).
//
//   mean = sum_c x / C, var = sum_c (x - mean)^2 / C, rstd = 1 / sqrt(var + eps)
//   y = (x - mean) * rstd * gamma + beta
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

inline constexpr double kLayerNormEps = 1e-5;  ///< PyTorch's; Flax has 1e-6

/// Shapes: x, y (n,h,w,c); gamma, beta (c). eps > 0. C = 1 gives y = beta.
template <class T>
void layer_norm_forward(T* y, const T* x, const T* gamma, const T* beta, MapShape shape, double eps, Reference);
void layer_norm_forward(float* y, const float* x, const float* gamma, const float* beta, MapShape shape, double eps,
                        Cpu);
template <Gpu G>
void layer_norm_forward(float* y, const float* x, const float* gamma, const float* beta, MapShape shape, double eps,
                        G gpu);

/// With xh = (x - mean)*rstd and g = dy*gamma: dx = rstd * (g - mean_c(g) - xh * mean_c(g*xh)),
/// dgamma = sum over pixels of dy*xh, dbeta = sum of dy, both in a fixed order. Statistics are
/// recomputed from x: cheaper than storing them.
template <class T>
void layer_norm_backward(Grad<T> dx, Grad<T> dgamma, Grad<T> dbeta, const T* dy, const T* x, const T* gamma,
                         MapShape shape, double eps, Reference);
void layer_norm_backward(Grad<float> dx, Grad<float> dgamma, Grad<float> dbeta, const float* dy, const float* x,
                         const float* gamma, MapShape shape, double eps, Cpu);
template <Gpu G>
void layer_norm_backward(Grad<float> dx, Grad<float> dgamma, Grad<float> dbeta, const float* dy, const float* x,
                         const float* gamma, MapShape shape, double eps, G gpu);

}  // namespace flowsmith::core
