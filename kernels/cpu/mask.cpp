// The conditioner's input: images over threads.
#include "kernels/mask.h"

#include "kernels/cpu/parallel.h"

namespace flowsmith::core {

template <class Z>
void conditioner_input_forward(float* input, const Z* z, const std::uint8_t* image, int c_image, int levels,
                               MapShape z_shape, Mask mask, Cpu) {
  const int h = z_shape.h, w = z_shape.w, c = z_shape.c;
#pragma omp parallel for schedule(static) if (worth_threads(z_shape.size()))
  for (int n = 0; n < z_shape.n; ++n) {
    for (int y = 0; y < h; ++y) {
      for (int x = 0; x < w; ++x) {
        const std::size_t p = (std::size_t(n) * h + y) * w + x;
        float* out = input + p * (c + c_image);
        for (int k = 0; k < c; ++k) out[k] = mask_value(mask, y, x, k, z_shape) ? float(z[p * c + k]) : 0.0f;
        for (int k = 0; k < c_image; ++k) out[c + k] = grey_unit<float>(image[p * c_image + k], levels);
      }
    }
  }
}

template <class Z>
void conditioner_input_backward(Grad<Z> dz, const float* dinput, int c_image, MapShape z_shape, Mask mask, Cpu) {
  if (!dz) return;
  const int h = z_shape.h, w = z_shape.w, c = z_shape.c;
#pragma omp parallel for schedule(static) if (worth_threads(z_shape.size()))
  for (int n = 0; n < z_shape.n; ++n) {
    for (int y = 0; y < h; ++y) {
      for (int x = 0; x < w; ++x) {
        const std::size_t p = (std::size_t(n) * h + y) * w + x;
        const float* in = dinput + p * (c + c_image);
        for (int k = 0; k < c; ++k) dz.write(p * c + k, mask_value(mask, y, x, k, z_shape) ? Z(in[k]) : Z(0));
      }
    }
  }
}

#define FLOWSMITH_INSTANTIATE(Z)                                                                                 \
  template void conditioner_input_forward(float*, const Z*, const std::uint8_t*, int, int, MapShape, Mask, Cpu); \
  template void conditioner_input_backward(Grad<Z>, const float*, int, MapShape, Mask, Cpu);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
