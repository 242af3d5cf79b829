// The inverse hyperbolic sine of every element: near 0 the identity, far from it a logarithm, so that long tails
// become short.
//
//   z = a asinh(x / a),  log dz/dx = -log(1 + (x / a)^2) / 2
#pragma once

#include "kernels/error.h"
#include "kernels/types.h"

namespace flowsmith::core {

/// Shapes: z, x (n, per_image), logdet (n). z may be x.
template <class T>
void scaled_asinh_forward(T* z, double* logdet, const T* x, double a, int n, std::size_t per_image, Reference);
template <class T>
void scaled_asinh_forward(T* z, double* logdet, const T* x, double a, int n, std::size_t per_image, Cpu);

/// x = a sinh(z / a). Subtracts from logdet what forward adds, unless it is null. x may be z.
template <class T>
void scaled_asinh_inverse(T* x, double* logdet, const T* z, double a, int n, std::size_t per_image, Reference);
template <class T>
void scaled_asinh_inverse(T* x, double* logdet, const T* z, double a, int n, std::size_t per_image, Cpu);

/// With u = x / a: dx = dz / sqrt(1 + u^2) - dlogdet u / (a (1 + u^2)).
template <class T>
void scaled_asinh_backward(Grad<T> dx, const T* dz, const double* dlogdet, const T* x, double a, int n,
                           std::size_t per_image, Reference);
template <class T>
void scaled_asinh_backward(Grad<T> dx, const T* dz, const double* dlogdet, const T* x, double a, int n,
                           std::size_t per_image, Cpu);

// A layer of the product has a kernel for GPUs instead, in kernels/cuda.
template <class T, Gpu G>
void scaled_asinh_forward(T*, double*, const T*, double, int, std::size_t, G) {
  throw Error("the example has no kernel for GPUs");
}
template <class T, Gpu G>
void scaled_asinh_inverse(T*, double*, const T*, double, int, std::size_t, G) {
  throw Error("the example has no kernel for GPUs");
}
template <class T, Gpu G>
void scaled_asinh_backward(Grad<T>, const T*, const double*, const T*, double, int, std::size_t, G) {
  throw Error("the example has no kernel for GPUs");
}

}  // namespace flowsmith::core
