// Layer norm on its own: threads over images, or over groups of images for the sums of gamma and beta.
#include "kernels/layer_norm.h"

#include <algorithm>

#include "kernels/cpu/image_groups.h"
#include "kernels/cpu/pixel_rows.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/weight_gradient.h"

namespace flowsmith::core {

void layer_norm_forward(float* y, const float* x, const float* gamma, const float* beta, MapShape shape, double eps,
                        Cpu) {
  const std::size_t size = shape.image_size();
#pragma omp parallel for schedule(static) if (shape.n > 1)
  for (int n = 0; n < shape.n; ++n) {
    cpu::layer_norm_pixels(y + n * size, x + n * size, gamma, beta, shape.pixels(), shape.c, eps);
  }
}

void layer_norm_backward(Grad<float> dx, Grad<float> dgamma, Grad<float> dbeta, const float* dy, const float* x,
                         const float* gamma, MapShape shape, double eps, Cpu) {
  static thread_local cpu::Scratch sums;
  const int groups = cpu::image_groups(shape.n);
  const std::size_t size = shape.image_size(), stride = (2 * shape.c + 15) / 16 * 16;
  float* partials = sums.reserve(groups * stride);

#pragma omp parallel for schedule(static) if (groups > 1)
  for (int group = 0; group < groups; ++group) {
    float* partial = partials + group * stride;
    std::fill_n(partial, stride, 0.0f);
    for (int n = cpu::group_begin(shape.n, group); n < cpu::group_begin(shape.n, group + 1); ++n) {
      Grad<float> image_dx = dx;
      if (dx) image_dx.data += n * size;
      cpu::layer_norm_gradient_pixels(image_dx, partial, partial + shape.c, dy + n * size, x + n * size, gamma,
                                      shape.pixels(), shape.c, eps);
    }
  }
  if (dgamma) cpu::write_group_sums(dgamma, partials, groups, stride, shape.c);
  if (dbeta) cpu::write_group_sums(dbeta, partials + shape.c, groups, stride, shape.c);
}

}  // namespace flowsmith::core
