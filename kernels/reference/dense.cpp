// The fully connected layer: plain loops, sums in T.
#include "kernels/dense.h"

#include <vector>

#include "kernels/activation_math.h"

namespace flowsmith::core {

template <class T>
void dense_forward(T* y, const T* x, const T* weight, const T* bias, Activation activation, DenseShape shape,
                   Reference) {
  const std::size_t in = shape.in, out = shape.out;
  for (int i = 0; i < shape.n; ++i) {
    for (std::size_t o = 0; o < out; ++o) {
      T sum = bias[o];
      for (std::size_t k = 0; k < in; ++k) sum += x[i * in + k] * weight[k * out + o];
      y[i * out + o] = activate(activation, sum);
    }
  }
}

template <class T>
void dense_backward(Grad<T> dx, Grad<T> dweight, Grad<T> dbias, const T* dy, const T* y, const T* x, const T* weight,
                    Activation activation, DenseShape shape, Reference) {
  const std::size_t n = shape.n, in = shape.in, out = shape.out;
  std::vector<T> dpre(dy, dy + n * out);
  if (activation != Activation::kNone) {
    for (std::size_t e = 0; e < dpre.size(); ++e) dpre[e] = dy[e] * activation_derivative(activation, y[e]);
  }
  if (dx) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t k = 0; k < in; ++k) {
        T sum = 0;
        for (std::size_t o = 0; o < out; ++o) sum += dpre[i * out + o] * weight[k * out + o];
        dx.write(i * in + k, sum);
      }
    }
  }
  if (dweight) {
    for (std::size_t k = 0; k < in; ++k) {
      for (std::size_t o = 0; o < out; ++o) {
        T sum = 0;
        for (std::size_t i = 0; i < n; ++i) sum += x[i * in + k] * dpre[i * out + o];
        dweight.write(k * out + o, sum);
      }
    }
  }
  if (dbias) {
    for (std::size_t o = 0; o < out; ++o) {
      T sum = 0;
      for (std::size_t i = 0; i < n; ++i) sum += dpre[i * out + o];
      dbias.write(o, sum);
    }
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                                              \
  template void dense_forward(T*, const T*, const T*, const T*, Activation, DenseShape, Reference);           \
  template void dense_backward(Grad<T>, Grad<T>, Grad<T>, const T*, const T*, const T*, const T*, Activation, \
                               DenseShape, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
