// Sums by runs of elements and joined channels by pixels, over threads.
#include "kernels/join.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"

namespace flowsmith::core {
namespace {

/// to (+)= `count` elements.
void write_run(Grad<float> to, const float* from, std::size_t count) {
  if (to.mode == GradMode::kOverwrite) {
    std::copy_n(from, count, to.data);
  } else {
    for (std::size_t i = 0; i < count; ++i) to.data[i] += from[i];
  }
}

}  // namespace

void add_forward(float* y, const float* a, const float* b, std::size_t size, Cpu) {
#pragma omp parallel for schedule(static) if (worth_threads(size))
  for (std::size_t i = 0; i < size; ++i) y[i] = a[i] + b[i];
}

void add_backward(Grad<float> da, Grad<float> db, const float* dy, std::size_t size, Cpu) {
  for (const Grad<float>& to : {da, db}) {
    if (!to) continue;
#pragma omp parallel for schedule(static) if (worth_threads(size))
    for (std::size_t i = 0; i < size; ++i) to.write(i, dy[i]);
  }
}

void concat_channels_forward(float* y, const float* a, const float* b, MapShape y_shape, int a_channels, Cpu) {
  const std::size_t pixels = y_shape.n * y_shape.pixels();
  const int c = y_shape.c, ca = a_channels, cb = c - ca;
#pragma omp parallel for schedule(static) if (worth_threads(y_shape.size()))
  for (std::size_t p = 0; p < pixels; ++p) {
    std::copy_n(a + p * ca, ca, y + p * c);
    std::copy_n(b + p * cb, cb, y + p * c + ca);
  }
}

void concat_channels_backward(Grad<float> da, Grad<float> db, const float* dy, MapShape y_shape, int a_channels, Cpu) {
  const std::size_t pixels = y_shape.n * y_shape.pixels();
  const int c = y_shape.c, ca = a_channels, cb = c - ca;
#pragma omp parallel for schedule(static) if (worth_threads(y_shape.size()))
  for (std::size_t p = 0; p < pixels; ++p) {
    if (da) write_run({da.data + p * ca, da.mode}, dy + p * c, ca);
    if (db) write_run({db.data + p * cb, db.mode}, dy + p * c + ca, cb);
  }
}

}  // namespace flowsmith::core
