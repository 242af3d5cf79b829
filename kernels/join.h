// Where two branches of a network meet: added (residual connections), or side by side as channels of one map.
#pragma once

#include "kernels/types.h"

namespace flowsmith::core {

/// y = a + b, `size` elements.
template <class T>
void add_forward(T* y, const T* a, const T* b, std::size_t size, Reference);
void add_forward(float* y, const float* a, const float* b, std::size_t size, Cpu);
template <Gpu G>
void add_forward(float* y, const float* a, const float* b, std::size_t size, G gpu);

/// da = dy, db = dy.
template <class T>
void add_backward(Grad<T> da, Grad<T> db, const T* dy, std::size_t size, Reference);
void add_backward(Grad<float> da, Grad<float> db, const float* dy, std::size_t size, Cpu);
template <Gpu G>
void add_backward(Grad<float> da, Grad<float> db, const float* dy, std::size_t size, G gpu);

/// y[.., 0..ca) = a, y[.., ca..c) = b. Shapes: y (n,h,w,c), a (n,h,w,ca), b (n,h,w,c-ca).
template <class T>
void concat_channels_forward(T* y, const T* a, const T* b, MapShape y_shape, int a_channels, Reference);
void concat_channels_forward(float* y, const float* a, const float* b, MapShape y_shape, int a_channels, Cpu);
template <Gpu G>
void concat_channels_forward(float* y, const float* a, const float* b, MapShape y_shape, int a_channels, G gpu);

/// da = dy[.., 0..ca), db = dy[.., ca..c).
template <class T>
void concat_channels_backward(Grad<T> da, Grad<T> db, const T* dy, MapShape y_shape, int a_channels, Reference);
void concat_channels_backward(Grad<float> da, Grad<float> db, const float* dy, MapShape y_shape, int a_channels, Cpu);
template <Gpu G>
void concat_channels_backward(Grad<float> da, Grad<float> db, const float* dy, MapShape y_shape, int a_channels, G gpu);

}  // namespace flowsmith::core
