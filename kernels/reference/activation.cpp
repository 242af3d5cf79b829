// Activations, ELU-concat and the gate: plain loops over elements, or pixels and channels.
#include "kernels/activation.h"

#include "kernels/activation_math.h"

namespace flowsmith::core {

template <class T>
void activation_forward(T* y, const T* x, Activation activation, std::size_t size, Reference) {
  for (std::size_t i = 0; i < size; ++i) y[i] = activate(activation, x[i]);
}

template <class T>
void activation_backward(Grad<T> dx, const T* dy, const T* y, Activation activation, std::size_t size, Reference) {
  if (!dx) return;
  for (std::size_t i = 0; i < size; ++i) dx.write(i, dy[i] * activation_derivative(activation, y[i]));
}

template <class T>
void concat_elu_forward(T* y, const T* x, MapShape x_shape, Reference) {
  const std::size_t pixels = std::size_t(x_shape.n) * x_shape.pixels();
  const std::size_t c = x_shape.c;
  for (std::size_t p = 0; p < pixels; ++p) {
    for (std::size_t k = 0; k < c; ++k) {
      const T a = x[p * c + k];
      y[p * 2 * c + k] = elu(a);
      y[p * 2 * c + c + k] = elu(-a);
    }
  }
}

template <class T>
void concat_elu_backward(Grad<T> dx, const T* dy, const T* x, MapShape x_shape, Reference) {
  if (!dx) return;
  const std::size_t pixels = std::size_t(x_shape.n) * x_shape.pixels();
  const std::size_t c = x_shape.c;
  for (std::size_t p = 0; p < pixels; ++p) {
    for (std::size_t k = 0; k < c; ++k) {
      const T a = x[p * c + k];
      dx.write(p * c + k, dy[p * 2 * c + k] * elu_derivative(a) - dy[p * 2 * c + c + k] * elu_derivative(-a));
    }
  }
}

template <class T>
void gate_forward(T* y, const T* x, const T* vg, MapShape shape, Reference) {
  const std::size_t pixels = std::size_t(shape.n) * shape.pixels();
  const std::size_t c = shape.c;
  for (std::size_t p = 0; p < pixels; ++p) {
    for (std::size_t k = 0; k < c; ++k) {
      const T value = vg[p * 2 * c + k];
      const T gate = vg[p * 2 * c + c + k];
      y[p * c + k] = x[p * c + k] + value * sigmoid(gate);
    }
  }
}

template <class T>
void gate_backward(Grad<T> dx, Grad<T> dvg, const T* dy, const T* vg, MapShape shape, Reference) {
  const std::size_t pixels = std::size_t(shape.n) * shape.pixels();
  const std::size_t c = shape.c;
  for (std::size_t p = 0; p < pixels; ++p) {
    for (std::size_t k = 0; k < c; ++k) {
      const T d = dy[p * c + k];
      const T value = vg[p * 2 * c + k];
      const T gate = vg[p * 2 * c + c + k];
      if (dx) dx.write(p * c + k, d);
      if (dvg) {
        dvg.write(p * 2 * c + k, d * sigmoid(gate));
        dvg.write(p * 2 * c + c + k, d * value * sigmoid(gate) * sigmoid(-gate));
      }
    }
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                                      \
  template void activation_forward(T*, const T*, Activation, std::size_t, Reference);                 \
  template void activation_backward(Grad<T>, const T*, const T*, Activation, std::size_t, Reference); \
  template void concat_elu_forward(T*, const T*, MapShape, Reference);                                \
  template void concat_elu_backward(Grad<T>, const T*, const T*, MapShape, Reference);                \
  template void gate_forward(T*, const T*, const T*, MapShape, Reference);                            \
  template void gate_backward(Grad<T>, Grad<T>, const T*, const T*, MapShape, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
