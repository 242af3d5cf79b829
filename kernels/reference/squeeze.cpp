// Squeeze: the index formula of squeeze.h, read in both directions.
#include "kernels/squeeze.h"

namespace flowsmith::core {
namespace {

/// Calls body(element of out, element of in) for every element; `shape` is that of in.
template <class Body>
void for_each_pair(MapShape shape, Body body) {
  const int h2 = shape.h / 2, w2 = shape.w / 2, c4 = 4 * shape.c;
  for (int n = 0; n < shape.n; ++n) {
    for (int i = 0; i < h2; ++i) {
      for (int j = 0; j < w2; ++j) {
        for (int k = 0; k < shape.c; ++k) {
          for (int dy = 0; dy < 2; ++dy) {
            for (int dx = 0; dx < 2; ++dx) {
              const std::size_t out = ((std::size_t(n) * h2 + i) * w2 + j) * c4 + 4 * k + 2 * dy + dx;
              const std::size_t in = ((std::size_t(n) * shape.h + 2 * i + dy) * shape.w + 2 * j + dx) * shape.c + k;
              body(out, in);
            }
          }
        }
      }
    }
  }
}

}  // namespace

template <class T>
void squeeze_forward(T* out, const T* in, MapShape shape, Reference) {
  for_each_pair(shape, [&](std::size_t o, std::size_t i) { out[o] = in[i]; });
}

template <class T>
void squeeze_inverse(Grad<T> in, const T* out, MapShape shape, Reference) {
  if (!in) return;
  for_each_pair(shape, [&](std::size_t o, std::size_t i) { in.write(i, out[o]); });
}

#define FLOWSMITH_INSTANTIATE(T)                                    \
  template void squeeze_forward(T*, const T*, MapShape, Reference); \
  template void squeeze_inverse(Grad<T>, const T*, MapShape, Reference);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
