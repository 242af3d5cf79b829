// Squeeze: images over threads; the squeezed side is walked in memory order.
#include "kernels/squeeze.h"

#include "kernels/cpu/parallel.h"

namespace flowsmith::core {
namespace {

/// Calls body(element of out, element of in) for every element; `shape` is that of in.
template <class Body>
void for_each_pair(MapShape shape, Body body) {
  const int h2 = shape.h / 2, w2 = shape.w / 2;
  const std::size_t c = shape.c, row = shape.w * c;
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) {
    for (int i = 0; i < h2; ++i) {
      for (int j = 0; j < w2; ++j) {
        const std::size_t out = ((std::size_t(n) * h2 + i) * w2 + j) * 4 * c;
        const std::size_t in = (std::size_t(n) * shape.h + 2 * i) * row + 2 * j * c;
        for (std::size_t k = 0; k < c; ++k) {
          body(out + 4 * k, in + k);
          body(out + 4 * k + 1, in + c + k);
          body(out + 4 * k + 2, in + row + k);
          body(out + 4 * k + 3, in + row + c + k);
        }
      }
    }
  }
}

}  // namespace

template <class T>
void squeeze_forward(T* out, const T* in, MapShape shape, Cpu) {
  for_each_pair(shape, [=](std::size_t o, std::size_t i) { out[o] = in[i]; });
}

template <class T>
void squeeze_inverse(Grad<T> in, const T* out, MapShape shape, Cpu) {
  if (!in) return;
  for_each_pair(shape, [=](std::size_t o, std::size_t i) { in.write(i, out[o]); });
}

#define FLOWSMITH_INSTANTIATE(T)                              \
  template void squeeze_forward(T*, const T*, MapShape, Cpu); \
  template void squeeze_inverse(Grad<T>, const T*, MapShape, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
