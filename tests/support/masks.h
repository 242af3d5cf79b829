// Every kind of mask, for tests. A list has bits of its own, which must lie where the backend can read them.
#pragma once

#include "kernels/mask.h"

namespace flowsmith::core::testing {

inline constexpr Mask kMasks[] = {{MaskKind::kCheckerboard, false},
                                  {MaskKind::kCheckerboard, true},
                                  {MaskKind::kChannel, false},
                                  {MaskKind::kChannel, true},
                                  {MaskKind::kAlternatingChannel, false},
                                  {MaskKind::kAlternatingChannel, true},
                                  {MaskKind::kList, false},
                                  {MaskKind::kList, true}};

/// Ones and zeros without a pattern that another mask has.
inline std::vector<std::uint8_t> test_list(MapShape image) {
  std::vector<std::uint8_t> list(image.image_size());
  for (std::size_t i = 0; i < list.size(); ++i) list[i] = i % 3 == 0 || i % 7 == 2;
  return list;
}
inline std::vector<std::uint32_t> test_bits(MapShape image) { return mask_bits(test_list(image)); }

/// The mask with these bits, if it is a list.
inline Mask with_bits(Mask mask, const std::uint32_t* bits) {
  if (mask.kind == MaskKind::kList) mask.bits = bits;
  return mask;
}

}  // namespace flowsmith::core::testing
