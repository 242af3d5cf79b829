// Convolution with a 3x3 or 1x1 window, stride 1, zero padding that keeps the size, NHWC; optionally
// with the ELU-concat in front of it folded into the read of its input.
//
//   y[n,i,j,o] = bias[o] + sum over ky,kx,k of a[n, i+ky-r, j+kx-r, k] * weight[ky,kx,k,o],  r = kernel/2
//   a = x, or a = concat(elu(x), elu(-x)) along the channels (kernels/activation.h)
#pragma once

#include "kernels/mask.h"

namespace flowsmith::core {

/// What a coupling's mask says about a map. Of a list nothing is left out.
struct ConvMask {
  Mask mask;
  int channels = 0;  ///< the mask's own; 0: nothing is known
};

struct ConvShape {
  int n = 0, h = 0, w = 0;  ///< images, rows, columns of input and output
  int c_in = 0;             ///< channels that the weight sees: twice those of x with concat_elu
  int c_out = 0;
  int kernel = 3;  ///< 1 or 3
  bool concat_elu = false;
  /// What a kernel may leave out: nothing else of its result depends on these. Of y and dx, what it leaves out is 0; a
  /// dx that accumulates stays as it is there.
  ConvMask x_mask = {};  ///< x is 0 where mask = 0; there, and in channels behind the mask's, nobody reads dx
  ConvMask y_mask = {};  ///< nobody reads y where the mask, repeated over all channels, is 1; there dy is 0

  int x_channels() const { return concat_elu ? c_in / 2 : c_in; }
  MapShape x() const { return {n, h, w, x_channels()}; }
  MapShape y() const { return {n, h, w, c_out}; }
  std::size_t weight_size() const { return std::size_t(kernel) * kernel * c_in * c_out; }
  /// Multiply-adds count as two.
  double flops() const { return 2.0 * n * h * w * double(weight_size()); }
};

/// y (n,h,w,c_out), x (n,h,w,x_channels), weight [ky][kx][c_in][c_out], bias (c_out).
template <class T>
void conv_forward(T* y, const T* x, const T* weight, const T* bias, ConvShape shape, Reference);
void conv_forward(float* y, const float* x, const float* weight, const float* bias, ConvShape shape, Cpu);
/// The products' factors are rounded as gpu.precision says; sums are float in every precision.
template <Gpu G>
void conv_forward(float* y, const float* x, const float* weight, const float* bias, ConvShape shape, G gpu);

/// da = dy convolved with the weight turned by 180 degrees; dx = da, or its ELU-concat gradient, for
/// which x is needed (x may be null without concat_elu).
template <class T>
void conv_backward_data(Grad<T> dx, const T* dy, const T* x, const T* weight, ConvShape shape, Reference);
void conv_backward_data(Grad<float> dx, const float* dy, const float* x, const float* weight, ConvShape shape, Cpu);
template <Gpu G>
void conv_backward_data(Grad<float> dx, const float* dy, const float* x, const float* weight, ConvShape shape, G gpu);

/// dweight[ky,kx,k,o] = sum over n,i,j of a[n, i+ky-r, j+kx-r, k] * dy[n,i,j,o]; dbias[o] = sum of dy.
/// The sum over the batch has a fixed order, whatever the number of threads.
template <class T>
void conv_backward_weights(Grad<T> dweight, Grad<T> dbias, const T* dy, const T* x, ConvShape shape, Reference);
void conv_backward_weights(Grad<float> dweight, Grad<float> dbias, const float* dy, const float* x, ConvShape shape,
                           Cpu);
template <Gpu G>
void conv_backward_weights(Grad<float> dweight, Grad<float> dbias, const float* dy, const float* x, ConvShape shape,
                           G gpu);

}  // namespace flowsmith::core
