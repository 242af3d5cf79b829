// Masks of a coupling layer (RealNVP, Dinh et al. 2017, section 3.4) and the input they give to the
// conditioner network. Masks are computed from the position and never stored.
#pragma once

#include "kernels/types.h"

namespace flowsmith {

enum class MaskKind { kCheckerboard, kChannel };

/// mask = 1: the element passes unchanged and conditions the others; mask = 0: it is transformed.
struct Mask {
  MaskKind kind = MaskKind::kCheckerboard;
  bool invert = false;
};

/// Checkerboard: (y + x) mod 2, the same in all channels. Channel: 1 for the first floor(channels/2).
/// `invert` swaps 0 and 1.
FLOWSMITH_HD inline bool mask_value(Mask mask, int y, int x, int c, int channels) {
  const bool one = mask.kind == MaskKind::kCheckerboard ? (y + x) % 2 != 0 : c < channels / 2;
  return one != mask.invert;
}

/// What the conditioner sees: input[.., 0..c) = mask * z, input[.., c..c+c_image) = image/255*2 - 1.
/// Shapes: input (n,h,w,c+c_image), z (n,h,w,c), image (n,h,w,c_image) or null with c_image = 0.
/// Z is the type of the flow's path, S that of the network.
template <class Z, class S>
void conditioner_input_forward(S* input, const Z* z, const std::uint8_t* image, int c_image, MapShape z_shape,
                               Mask mask, Reference);
template <class Z>
void conditioner_input_forward(float* input, const Z* z, const std::uint8_t* image, int c_image, MapShape z_shape,
                               Mask mask, Cpu);
template <class Z, Gpu G>
void conditioner_input_forward(float* input, const Z* z, const std::uint8_t* image, int c_image, MapShape z_shape,
                               Mask mask, G gpu);

/// dz = mask * dinput[.., 0..c); the image has no gradient.
template <class Z, class S>
void conditioner_input_backward(Grad<Z> dz, const S* dinput, int c_image, MapShape z_shape, Mask mask, Reference);
template <class Z>
void conditioner_input_backward(Grad<Z> dz, const float* dinput, int c_image, MapShape z_shape, Mask mask, Cpu);
template <class Z, Gpu G>
void conditioner_input_backward(Grad<Z> dz, const float* dinput, int c_image, MapShape z_shape, Mask mask, G gpu);

}  // namespace flowsmith
