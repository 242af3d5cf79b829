// Channel layer norm: one pixel at a time, statistics and sums in double.
#include "kernels/layer_norm.h"

#include <cmath>
#include <vector>

namespace flowsmith::core {
namespace {

struct Statistics {
  double mean, rstd;
};

/// Of the c channels of one pixel.
template <class T>
Statistics pixel_statistics(const T* x, int c, double eps) {
  double mean = 0;
  for (int k = 0; k < c; ++k) mean += x[k];
  mean /= c;
  double var = 0;
  for (int k = 0; k < c; ++k) var += (x[k] - mean) * (x[k] - mean);
  var /= c;
  return {mean, 1 / std::sqrt(var + eps)};
}

}  // namespace

template <class T>
void layer_norm_forward(T* y, const T* x, const T* gamma, const T* beta, MapShape shape, double eps, Reference) {
  const std::size_t pixels = std::size_t(shape.n) * shape.pixels();
  for (std::size_t p = 0; p < pixels; ++p) {
    const T* px = x + p * shape.c;
    const Statistics s = pixel_statistics(px, shape.c, eps);
    for (int k = 0; k < shape.c; ++k) y[p * shape.c + k] = T((px[k] - s.mean) * s.rstd * gamma[k] + beta[k]);
  }
}

template <class T>
void layer_norm_backward(Grad<T> dx, Grad<T> dgamma, Grad<T> dbeta, const T* dy, const T* x, const T* gamma,
                         MapShape shape, double eps, Reference) {
  const std::size_t pixels = std::size_t(shape.n) * shape.pixels();
  const int c = shape.c;
  std::vector<double> gamma_sum(c), beta_sum(c);
  for (std::size_t p = 0; p < pixels; ++p) {
    const T* px = x + p * c;
    const T* pdy = dy + p * c;
    const Statistics s = pixel_statistics(px, c, eps);
    double mean_g = 0, mean_g_xh = 0;
    for (int k = 0; k < c; ++k) {
      const double xh = (px[k] - s.mean) * s.rstd;
      const double g = double(pdy[k]) * gamma[k];
      mean_g += g / c;
      mean_g_xh += g * xh / c;
      gamma_sum[k] += pdy[k] * xh;
      beta_sum[k] += pdy[k];
    }
    if (!dx) continue;
    for (int k = 0; k < c; ++k) {
      const double xh = (px[k] - s.mean) * s.rstd;
      const double g = double(pdy[k]) * gamma[k];
      dx.write(p * c + k, T(s.rstd * (g - mean_g - xh * mean_g_xh)));
    }
  }
  for (int k = 0; k < c; ++k) {
    if (dgamma) dgamma.write(k, T(gamma_sum[k]));
    if (dbeta) dbeta.write(k, T(beta_sum[k]));
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                                               \
  template void layer_norm_forward(T*, const T*, const T*, const T*, MapShape, double, Reference);             \
  template void layer_norm_backward(Grad<T>, Grad<T>, Grad<T>, const T*, const T*, const T*, MapShape, double, \
                                    Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
