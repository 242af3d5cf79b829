// Sums and joined channels: plain loops over elements, or pixels and channels.
#include "kernels/join.h"

namespace flowsmith::core {

template <class T>
void add_forward(T* y, const T* a, const T* b, std::size_t size, Reference) {
  for (std::size_t i = 0; i < size; ++i) y[i] = a[i] + b[i];
}

template <class T>
void add_backward(Grad<T> da, Grad<T> db, const T* dy, std::size_t size, Reference) {
  for (std::size_t i = 0; i < size; ++i) {
    if (da) da.write(i, dy[i]);
    if (db) db.write(i, dy[i]);
  }
}

template <class T>
void concat_channels_forward(T* y, const T* a, const T* b, MapShape y_shape, int a_channels, Reference) {
  const std::size_t pixels = y_shape.n * y_shape.pixels();
  const int c = y_shape.c, ca = a_channels, cb = c - ca;
  for (std::size_t p = 0; p < pixels; ++p) {
    for (int k = 0; k < ca; ++k) y[p * c + k] = a[p * ca + k];
    for (int k = 0; k < cb; ++k) y[p * c + ca + k] = b[p * cb + k];
  }
}

template <class T>
void concat_channels_backward(Grad<T> da, Grad<T> db, const T* dy, MapShape y_shape, int a_channels, Reference) {
  const std::size_t pixels = y_shape.n * y_shape.pixels();
  const int c = y_shape.c, ca = a_channels, cb = c - ca;
  for (std::size_t p = 0; p < pixels; ++p) {
    for (int k = 0; da && k < ca; ++k) da.write(p * ca + k, dy[p * c + k]);
    for (int k = 0; db && k < cb; ++k) db.write(p * cb + k, dy[p * c + ca + k]);
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                           \
  template void add_forward(T*, const T*, const T*, std::size_t, Reference);               \
  template void add_backward(Grad<T>, Grad<T>, const T*, std::size_t, Reference);          \
  template void concat_channels_forward(T*, const T*, const T*, MapShape, int, Reference); \
  template void concat_channels_backward(Grad<T>, Grad<T>, const T*, MapShape, int, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
