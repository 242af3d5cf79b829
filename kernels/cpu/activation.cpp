// ELU-concat and the gate on their own: threads over images.
#include "kernels/activation.h"

#include "kernels/cpu/pixel_rows.h"

namespace flowsmith {

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

}  // namespace flowsmith
