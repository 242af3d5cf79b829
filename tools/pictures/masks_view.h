// The masks of a flow's couplings as pictures.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "models/flow.h"

namespace flowsmith::core {

/// A mask as pictures, one for each channel; 1 where an element is let through.
struct MaskPicture {
  std::string name;
  MapShape shape;                    ///< n = 1
  std::vector<std::uint8_t> values;  ///< (c, h, w)

  double share() const { return double(std::count(values.begin(), values.end(), 1)) / double(values.size()); }
};

struct MaskPictures {
  std::vector<MaskPicture> masks;
  int side = 1;     ///< pixels of the square in which each channel of a mask is shown
  int columns = 1;  ///< channels of the mask that has most
};

MaskPictures pictures_of_masks(const Flow& flow);

/// Tiles of `side` x `side` pixels, a row for each mask and a column for each channel: white is let through, dark is
/// transformed, and where a mask has no such channel there is nothing.
std::vector<std::uint8_t> tiles_of(const MaskPictures& pictures);

}  // namespace flowsmith::core
