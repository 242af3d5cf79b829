// Weight normalisation: plain loops over output channels.
#include "kernels/weight_norm_math.h"

namespace flowsmith::core {
namespace {

/// Sum over the rows of a * b, for output channel o.
template <class T>
double column_dot(const T* a, const T* b, WeightNormShape shape, int o) {
  double sum = 0;
  for (std::size_t k = 0; k < shape.rows; ++k) sum += double(a[k * shape.out + o]) * b[k * shape.out + o];
  return sum;
}

}  // namespace

template <class T>
void weight_norm_forward(T* w, const T* v, const T* g, WeightNormShape shape, Reference) {
  for (int o = 0; o < shape.out; ++o) {
    const double scale = g[o] * inverse_weight_norm(column_dot(v, v, shape, o));
    for (std::size_t k = 0; k < shape.rows; ++k) w[k * shape.out + o] = T(scale * v[k * shape.out + o]);
  }
}

template <class T>
void weight_norm_backward(Grad<T> dv, Grad<T> dg, const T* dw, const T* v, const T* g, WeightNormShape shape,
                          Reference) {
  for (int o = 0; o < shape.out; ++o) {
    const WeightNormGradient d = weight_norm_gradient(column_dot(v, v, shape, o), column_dot(dw, v, shape, o), g[o]);
    if (dg) dg.write(o, T(d.dg));
    for (std::size_t i = o; dv && i < shape.size(); i += shape.out) dv.write(i, T(d.of_dw * dw[i] - d.of_v * v[i]));
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                         \
  template void weight_norm_forward(T*, const T*, const T*, WeightNormShape, Reference); \
  template void weight_norm_backward(Grad<T>, Grad<T>, const T*, const T*, const T*, WeightNormShape, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
