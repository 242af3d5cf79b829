// A matrix on the channels of every pixel: plain loops, sums in double.
#include "kernels/channel_matmul.h"

#include <vector>

namespace flowsmith::core {

template <class Z, class M>
void channel_matmul_forward(Z* z_out, const Z* z, const M* matrix, MapShape shape, Reference) {
  const std::size_t c = shape.c;
  for (std::size_t p = 0; p < shape.n * shape.pixels(); ++p) {
    const std::vector<Z> pixel(z + p * c, z + (p + 1) * c);
    for (std::size_t o = 0; o < c; ++o) {
      double sum = 0;
      for (std::size_t i = 0; i < c; ++i) sum += double(matrix[o * c + i]) * double(pixel[i]);
      z_out[p * c + o] = Z(sum);
    }
  }
}

template <class Z, class S>
void channel_matmul_backward(Grad<Z> dz, Grad<S> dmatrix, const Z* dz_out, const Z* z, const S* matrix, MapShape shape,
                             Reference) {
  const std::size_t c = shape.c, pixels = shape.n * shape.pixels();
  for (std::size_t o = 0; dmatrix && o < c; ++o) {
    for (std::size_t i = 0; i < c; ++i) {
      double sum = 0;
      for (std::size_t p = 0; p < pixels; ++p) sum += double(dz_out[p * c + o]) * double(z[p * c + i]);
      dmatrix.write(o * c + i, S(sum));
    }
  }
  for (std::size_t p = 0; dz && p < pixels; ++p) {
    const std::vector<Z> pixel(dz_out + p * c, dz_out + (p + 1) * c);
    for (std::size_t i = 0; i < c; ++i) {
      double sum = 0;
      for (std::size_t o = 0; o < c; ++o) sum += double(matrix[o * c + i]) * double(pixel[o]);
      dz.write(p * c + i, Z(sum));
    }
  }
}

#define FLOWSMITH_INSTANTIATE(Z, M) template void channel_matmul_forward(Z*, const Z*, const M*, MapShape, Reference);
FLOWSMITH_INSTANTIATE(float, float)
FLOWSMITH_INSTANTIATE(float, double)
FLOWSMITH_INSTANTIATE(double, float)
FLOWSMITH_INSTANTIATE(double, double)
#undef FLOWSMITH_INSTANTIATE
#define FLOWSMITH_INSTANTIATE(Z, S) \
  template void channel_matmul_backward(Grad<Z>, Grad<S>, const Z*, const Z*, const S*, MapShape, Reference);
FLOWSMITH_INSTANTIATE(float, float)
FLOWSMITH_INSTANTIATE(double, float)
FLOWSMITH_INSTANTIATE(double, double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
