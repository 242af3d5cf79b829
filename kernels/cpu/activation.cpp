// Activations in runs of elements over threads; ELU-concat and the gate on their own: threads over images.
#include "kernels/activation.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/pixel_rows.h"

namespace flowsmith::core {
namespace {

/// Elements that a thread takes at once: enough that the choice of the activation costs nothing.
constexpr std::size_t kRun = 2048;

/// Calls body(first, count) for runs that cover `size` elements.
template <class Body>
void for_each_run(std::size_t size, const Body& body) {
  const auto runs = std::ptrdiff_t((size + kRun - 1) / kRun);
#pragma omp parallel for schedule(static) if (worth_threads(size))
  for (std::ptrdiff_t run = 0; run < runs; ++run) body(run * kRun, std::min(kRun, size - run * kRun));
}

}  // namespace

void activation_forward(float* y, const float* x, Activation activation, std::size_t size, Cpu) {
  for_each_run(
      size, [=](std::size_t first, std::size_t count) { cpu::activate_run(y + first, x + first, count, activation); });
}

void activation_backward(Grad<float> dx, const float* dy, const float* y, Activation activation, std::size_t size,
                         Cpu) {
  if (!dx) return;
  for_each_run(size, [=](std::size_t first, std::size_t count) {
    cpu::activation_gradient_run({dx.data + first, dx.mode}, dy + first, y + first, count, activation);
  });
}

void concat_elu_forward(float* y, const float* x, MapShape x_shape, Cpu) {
  const std::size_t size = x_shape.image_size();
#pragma omp parallel for schedule(static) if (x_shape.n > 1)
  for (int n = 0; n < x_shape.n; ++n) {
    cpu::concat_elu_pixels(y + 2 * n * size, x + n * size, x_shape.pixels(), x_shape.c);
  }
}

void concat_elu_backward(Grad<float> dx, const float* dy, const float* x, MapShape x_shape, Cpu) {
  if (!dx) return;
  const std::size_t size = x_shape.image_size();
#pragma omp parallel for schedule(static) if (x_shape.n > 1)
  for (int n = 0; n < x_shape.n; ++n) {
    cpu::concat_elu_gradient_pixels({dx.data + n * size, dx.mode}, dy + 2 * n * size, x + n * size, x_shape.pixels(),
                                    x_shape.c);
  }
}

void gate_forward(float* y, const float* x, const float* vg, MapShape shape, Cpu) {
  const std::size_t size = shape.image_size();
#pragma omp parallel for schedule(static) if (shape.n > 1)
  for (int n = 0; n < shape.n; ++n) {
    cpu::gate_pixels(y + n * size, x + n * size, vg + 2 * n * size, shape.pixels(), shape.c);
  }
}

void gate_backward(Grad<float> dx, Grad<float> dvg, const float* dy, const float* vg, MapShape shape, Cpu) {
  const std::size_t size = shape.image_size();
#pragma omp parallel for schedule(static) if (shape.n > 1)
  for (int n = 0; n < shape.n; ++n) {
    Grad<float> image_dx = dx, image_dvg = dvg;
    if (dx) image_dx.data += n * size;
    if (dvg) image_dvg.data += 2 * n * size;
    cpu::gate_gradient_pixels(image_dx, image_dvg, dy + n * size, vg + 2 * n * size, shape.pixels(), shape.c);
  }
}

}  // namespace flowsmith::core
