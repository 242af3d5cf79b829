// The conditioner's input: masked z and the image, side by side in the channels.
#include "kernels/mask.h"

namespace flowsmith::core {

template <class Z, class S>
void conditioner_input_forward(S* input, const Z* z, const std::uint8_t* image, int c_image, int levels,
                               MapShape z_shape, Mask mask, Reference) {
  for (int n = 0; n < z_shape.n; ++n) {
    for (int y = 0; y < z_shape.h; ++y) {
      for (int x = 0; x < z_shape.w; ++x) {
        const std::size_t p = (std::size_t(n) * z_shape.h + y) * z_shape.w + x;
        S* out = input + p * (z_shape.c + c_image);
        for (int k = 0; k < z_shape.c; ++k) {
          out[k] = mask_value(mask, y, x, k, z_shape) ? S(z[p * z_shape.c + k]) : S(0);
        }
        for (int k = 0; k < c_image; ++k) out[z_shape.c + k] = grey_unit<S>(image[p * c_image + k], levels);
      }
    }
  }
}

template <class Z, class S>
void conditioner_input_backward(Grad<Z> dz, const S* dinput, int c_image, MapShape z_shape, Mask mask, Reference) {
  if (!dz) return;
  for (int n = 0; n < z_shape.n; ++n) {
    for (int y = 0; y < z_shape.h; ++y) {
      for (int x = 0; x < z_shape.w; ++x) {
        const std::size_t p = (std::size_t(n) * z_shape.h + y) * z_shape.w + x;
        for (int k = 0; k < z_shape.c; ++k) {
          const bool passes = mask_value(mask, y, x, k, z_shape);
          dz.write(p * z_shape.c + k, passes ? Z(dinput[p * (z_shape.c + c_image) + k]) : Z(0));
        }
      }
    }
  }
}

#define FLOWSMITH_INSTANTIATE(Z, S)                                                                                \
  template void conditioner_input_forward(S*, const Z*, const std::uint8_t*, int, int, MapShape, Mask, Reference); \
  template void conditioner_input_backward(Grad<Z>, const S*, int, MapShape, Mask, Reference);
FLOWSMITH_INSTANTIATE(float, float)
FLOWSMITH_INSTANTIATE(double, float)
FLOWSMITH_INSTANTIATE(double, double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::core
