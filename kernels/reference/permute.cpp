// Permutation of the channels: the index formula of permute.h, pixel by pixel.
#include "kernels/permute.h"

namespace flowsmith::core {

template <class T>
void permute_forward(T* out, const T* in, const std::uint32_t* order, MapShape shape, Reference) {
  const std::size_t c = shape.c;
  for (std::size_t p = 0; p < shape.n * shape.pixels(); ++p) {
    const std::vector<T> pixel(in + p * c, in + (p + 1) * c);
    for (std::size_t k = 0; k < c; ++k) out[p * c + k] = pixel[order[k]];
  }
}

template <class T>
void permute_inverse(Grad<T> in, const T* out, const std::uint32_t* order, MapShape shape, Reference) {
  if (!in) return;
  const std::size_t c = shape.c;
  for (std::size_t p = 0; p < shape.n * shape.pixels(); ++p) {
    const std::vector<T> pixel(out + p * c, out + (p + 1) * c);
    for (std::size_t k = 0; k < c; ++k) in.write(p * c + order[k], pixel[k]);
  }
}

#define FLOWSMITH_INSTANTIATE(T)                                                          \
  template void permute_forward(T*, const T*, const std::uint32_t*, MapShape, Reference); \
  template void permute_inverse(Grad<T>, const T*, const std::uint32_t*, MapShape, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
