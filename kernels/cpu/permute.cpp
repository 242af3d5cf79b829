// Permutation of the channels: images over threads, pixel by pixel through a copy of the pixel, so that the result may
// take the place of the input.
#include "kernels/permute.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

namespace flowsmith::core {
namespace {

/// Calls body(copy of the pixel, its first element) for every pixel.
template <class T, class Body>
void for_each_pixel(const T* from, MapShape shape, Body body) {
  const std::size_t c = shape.c, pixels = shape.pixels();
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) {
    static thread_local cpu::BasicScratch<T> scratch;
    T* const pixel = scratch.reserve(c);
    for (std::size_t p = n * pixels; p < (n + 1) * pixels; ++p) {
      std::copy_n(from + p * c, c, pixel);
      body(pixel, p * c);
    }
  }
}

}  // namespace

template <class T>
void permute_forward(T* out, const T* in, const std::uint32_t* order, MapShape shape, Cpu) {
  for_each_pixel(in, shape, [=](const T* pixel, std::size_t first) {
    for (int k = 0; k < shape.c; ++k) out[first + k] = pixel[order[k]];
  });
}

template <class T>
void permute_inverse(Grad<T> in, const T* out, const std::uint32_t* order, MapShape shape, Cpu) {
  if (!in) return;
  for_each_pixel(out, shape, [=](const T* pixel, std::size_t first) {
    for (int k = 0; k < shape.c; ++k) in.write(first + order[k], pixel[k]);
  });
}

#define FLOWSMITH_INSTANTIATE(T)                                                    \
  template void permute_forward(T*, const T*, const std::uint32_t*, MapShape, Cpu); \
  template void permute_inverse(Grad<T>, const T*, const std::uint32_t*, MapShape, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
