// Convolution: the sums of conv.h, one output at a time, accumulated in double.
#include "kernels/conv.h"

#include <vector>

#include "kernels/activation.h"

namespace flowsmith::core {
namespace {

/// The input that the weight sees: x, or its ELU-concat.
template <class T>
std::vector<T> window_input(const T* x, ConvShape shape) {
  std::vector<T> a(shape.x().pixels() * shape.n * shape.c_in);
  if (shape.concat_elu) {
    concat_elu_forward(a.data(), x, shape.x(), Reference{});
  } else {
    a.assign(x, x + a.size());
  }
  return a;
}

/// Element (image, y, x, k) of a map with c channels.
std::size_t map_at(ConvShape shape, int image, int y, int x, int k, int c) {
  return ((std::size_t(image) * shape.h + y) * shape.w + x) * c + k;
}

std::size_t weight_at(ConvShape shape, int ky, int kx, int k, int o) {
  return ((std::size_t(ky) * shape.kernel + kx) * shape.c_in + k) * shape.c_out + o;
}

bool inside(ConvShape shape, int y, int x) { return y >= 0 && y < shape.h && x >= 0 && x < shape.w; }

}  // namespace

template <class T>
void conv_forward(T* y, const T* x, const T* weight, const T* bias, ConvShape shape, Reference) {
  const std::vector<T> a = window_input(x, shape);
  const int r = shape.kernel / 2;
  for (int n = 0; n < shape.n; ++n) {
    for (int i = 0; i < shape.h; ++i) {
      for (int j = 0; j < shape.w; ++j) {
        for (int o = 0; o < shape.c_out; ++o) {
          double sum = bias[o];
          for (int ky = 0; ky < shape.kernel; ++ky) {
            for (int kx = 0; kx < shape.kernel; ++kx) {
              if (!inside(shape, i + ky - r, j + kx - r)) continue;
              for (int k = 0; k < shape.c_in; ++k) {
                sum += double(a[map_at(shape, n, i + ky - r, j + kx - r, k, shape.c_in)]) *
                       weight[weight_at(shape, ky, kx, k, o)];
              }
            }
          }
          y[map_at(shape, n, i, j, o, shape.c_out)] = T(sum);
        }
      }
    }
  }
}

template <class T>
void conv_backward_data(Grad<T> dx, const T* dy, const T* x, const T* weight, ConvShape shape, Reference) {
  if (!dx) return;
  const int r = shape.kernel / 2;
  std::vector<T> da(shape.x().pixels() * shape.n * shape.c_in);
  for (int n = 0; n < shape.n; ++n) {
    for (int i = 0; i < shape.h; ++i) {
      for (int j = 0; j < shape.w; ++j) {
        for (int k = 0; k < shape.c_in; ++k) {
          double sum = 0;
          for (int ky = 0; ky < shape.kernel; ++ky) {
            for (int kx = 0; kx < shape.kernel; ++kx) {
              if (!inside(shape, i - ky + r, j - kx + r)) continue;
              for (int o = 0; o < shape.c_out; ++o) {
                sum += double(dy[map_at(shape, n, i - ky + r, j - kx + r, o, shape.c_out)]) *
                       weight[weight_at(shape, ky, kx, k, o)];
              }
            }
          }
          da[map_at(shape, n, i, j, k, shape.c_in)] = T(sum);
        }
      }
    }
  }
  if (shape.concat_elu) {
    concat_elu_backward(dx, da.data(), x, shape.x(), Reference{});
  } else {
    for (std::size_t i = 0; i < da.size(); ++i) dx.write(i, da[i]);
  }
}

template <class T>
void conv_backward_weights(Grad<T> dweight, Grad<T> dbias, const T* dy, const T* x, ConvShape shape, Reference) {
  const int r = shape.kernel / 2;
  if (dweight) {
    const std::vector<T> a = window_input(x, shape);
    for (int ky = 0; ky < shape.kernel; ++ky) {
      for (int kx = 0; kx < shape.kernel; ++kx) {
        for (int k = 0; k < shape.c_in; ++k) {
          for (int o = 0; o < shape.c_out; ++o) {
            double sum = 0;
            for (int n = 0; n < shape.n; ++n) {
              for (int i = 0; i < shape.h; ++i) {
                for (int j = 0; j < shape.w; ++j) {
                  if (!inside(shape, i + ky - r, j + kx - r)) continue;
                  sum += double(a[map_at(shape, n, i + ky - r, j + kx - r, k, shape.c_in)]) *
                         dy[map_at(shape, n, i, j, o, shape.c_out)];
                }
              }
            }
            dweight.write(weight_at(shape, ky, kx, k, o), T(sum));
          }
        }
      }
    }
  }
  if (dbias) {
    const std::size_t pixels = shape.y().pixels() * shape.n;
    for (int o = 0; o < shape.c_out; ++o) {
      double sum = 0;
      for (std::size_t p = 0; p < pixels; ++p) sum += dy[p * shape.c_out + o];
      dbias.write(o, T(sum));
    }
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                                 \
  template void conv_forward(T*, const T*, const T*, const T*, ConvShape, Reference);            \
  template void conv_backward_data(Grad<T>, const T*, const T*, const T*, ConvShape, Reference); \
  template void conv_backward_weights(Grad<T>, Grad<T>, const T*, const T*, ConvShape, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
