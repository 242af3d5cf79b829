// Masks of a coupling layer (RealNVP, Dinh et al. 2017, section 3.4) and the input they give to the conditioner
// network. Masks are computed from the position; only a list, which has no formula, is stored.
#pragma once

#include <vector>

#include "kernels/grey_levels.h"

namespace flowsmith::core {

enum class MaskKind {
  kCheckerboard,        ///< (y + x) mod 2, the same in all channels
  kChannel,             ///< 1 for the first floor(channels/2)
  kAlternatingChannel,  ///< channel mod 2, the same at all pixels; of vectors (n,1,1,d) every second number
  kList,                ///< a bit for every element of an image
};

/// mask = 1: the element passes unchanged and conditions the others; mask = 0: it is transformed.
struct Mask {
  MaskKind kind = MaskKind::kCheckerboard;
  bool invert = false;  ///< swaps 0 and 1
  /// Of kList, in the memory of the device: element (y*w + x)*c + k of an image is bit i % 32 of word i / 32. Null for
  /// the others. Whoever makes the mask owns them.
  const std::uint32_t* bits = nullptr;
};

/// The mask of one element; `image` is the shape of the map that it belongs to. Checkerboards do not look at it,
/// channel masks only at its channels.
FLOWSMITH_HD inline bool mask_value(Mask mask, int y, int x, int k, MapShape image) {
  bool one = false;
  if (mask.kind == MaskKind::kCheckerboard) {
    one = (y + x) % 2 != 0;
  } else if (mask.kind == MaskKind::kChannel) {
    one = k < image.c / 2;
  } else if (mask.kind == MaskKind::kAlternatingChannel) {
    one = k % 2 != 0;
  } else {
    const std::size_t i = (std::size_t(y) * image.w + x) * image.c + k;
    one = (mask.bits[i / 32] >> (i % 32) & 1) != 0;
  }
  return one != mask.invert;
}

/// The bits of a list mask from one number per element of an image, 0 or not.
inline std::vector<std::uint32_t> mask_bits(const std::vector<std::uint8_t>& list) {
  std::vector<std::uint32_t> bits((list.size() + 31) / 32);
  for (std::size_t i = 0; i < list.size(); ++i) bits[i / 32] |= std::uint32_t(list[i] != 0) << (i % 32);
  return bits;
}

/// What the conditioner sees: input[.., 0..c) = mask * z, input[.., c..c+c_image) = q/(levels-1)*2 - 1,
/// q the level of the pixel among `levels` (kernels/grey_levels.h): image/255*2 - 1 for all 256 of them.
/// Shapes: input (n,h,w,c+c_image), z (n,h,w,c), image (n,h,w,c_image) or null with c_image = 0.
/// Z is the type of the flow's path, S that of the network.
template <class Z, class S>
void conditioner_input_forward(S* input, const Z* z, const std::uint8_t* image, int c_image, int levels,
                               MapShape z_shape, Mask mask, Reference);
template <class Z>
void conditioner_input_forward(float* input, const Z* z, const std::uint8_t* image, int c_image, int levels,
                               MapShape z_shape, Mask mask, Cpu);
template <class Z, Gpu G>
void conditioner_input_forward(float* input, const Z* z, const std::uint8_t* image, int c_image, int levels,
                               MapShape z_shape, Mask mask, G gpu);

/// dz = mask * dinput[.., 0..c); the image has no gradient.
template <class Z, class S>
void conditioner_input_backward(Grad<Z> dz, const S* dinput, int c_image, MapShape z_shape, Mask mask, Reference);
template <class Z>
void conditioner_input_backward(Grad<Z> dz, const float* dinput, int c_image, MapShape z_shape, Mask mask, Cpu);
template <class Z, Gpu G>
void conditioner_input_backward(Grad<Z> dz, const float* dinput, int c_image, MapShape z_shape, Mask mask, G gpu);

}  // namespace flowsmith::core
