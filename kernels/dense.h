// The fully connected layer with its activation, on rows: an image of h*w*c numbers is one row. The weight lies in
// memory as [in][out], as a 1x1 convolution's does.
//
// Host kernels multiply floats whatever the stream's precision; GPU kernels follow it.
#pragma once

#include "kernels/activation.h"

namespace flowsmith::core {

struct DenseShape {
  int n = 0;    ///< rows
  int in = 0;   ///< numbers of a row of x
  int out = 0;  ///< numbers of a row of y

  std::size_t x_size() const { return std::size_t(n) * in; }
  std::size_t y_size() const { return std::size_t(n) * out; }
  std::size_t weight_size() const { return std::size_t(in) * out; }
};

/// y[i][o] = act(bias[o] + sum over k of x[i][k] * weight[k][o]). A row of y has the same bits in every batch.
/// Shapes: x (n, in), weight (in, out), bias (out), y (n, out).
template <class T>
void dense_forward(T* y, const T* x, const T* weight, const T* bias, Activation activation, DenseShape shape,
                   Reference);
void dense_forward(float* y, const float* x, const float* weight, const float* bias, Activation activation,
                   DenseShape shape, Cpu);
template <Gpu G>
void dense_forward(float* y, const float* x, const float* weight, const float* bias, Activation activation,
                   DenseShape shape, G gpu);

/// With dpre = dy * act', act' from y (activation.h):
///   dx[i][k] = sum over o of dpre[i][o] * weight[k][o], dweight[k][o] = sum over i of x[i][k] * dpre[i][o],
///   dbias[o] = sum over i of dpre[i][o].
/// Sums over the batch have one order, whatever the number of threads. y is not read for kNone.
template <class T>
void dense_backward(Grad<T> dx, Grad<T> dweight, Grad<T> dbias, const T* dy, const T* y, const T* x, const T* weight,
                    Activation activation, DenseShape shape, Reference);
void dense_backward(Grad<float> dx, Grad<float> dweight, Grad<float> dbias, const float* dy, const float* y,
                    const float* x, const float* weight, Activation activation, DenseShape shape, Cpu);
template <Gpu G>
void dense_backward(Grad<float> dx, Grad<float> dweight, Grad<float> dbias, const float* dy, const float* y,
                    const float* x, const float* weight, Activation activation, DenseShape shape, G gpu);

}  // namespace flowsmith::core
