#include "tools/pictures/masks_view.h"

#include "kernels/mask.h"

namespace flowsmith::core {
namespace {

/// Vectors that are as long as an image are shown as one, others as a line.
MapShape shape_in_picture(MapShape mask, MapShape data) {
  if (mask.h * mask.w > 1) return mask;
  if (data.h * data.w == mask.c) return {1, data.h, data.w, 1};
  return {1, 1, mask.c, 1};
}

MaskPicture picture_of(const NamedMask& named, MapShape data) {
  const MapShape of = named.shape;
  MaskPicture picture{named.name, of, {}};
  for (int k = 0; k < of.c; ++k) {
    for (int y = 0; y < of.h; ++y) {
      for (int x = 0; x < of.w; ++x) picture.values.push_back(mask_value(named.mask, y, x, k, of));
    }
  }
  picture.shape = shape_in_picture(of, data);
  return picture;
}

}  // namespace

MaskPictures pictures_of_masks(const Flow& flow) {
  MaskPictures all;
  for (const NamedMask& mask : flow.masks()) all.masks.push_back(picture_of(mask, flow.data_shape(1)));
  for (const MaskPicture& one : all.masks) {
    all.side = std::max({all.side, one.shape.h, one.shape.w});
    all.columns = std::max(all.columns, one.shape.c);
  }
  return all;
}

std::vector<std::uint8_t> tiles_of(const MaskPictures& pictures) {
  const auto& [all, side, columns] = pictures;
  constexpr std::uint8_t kNothing = 0, kTransformed = 70, kThrough = 255;
  std::vector<std::uint8_t> tiles(all.size() * std::size_t(columns) * side * side, kNothing);
  for (std::size_t row = 0; row < all.size(); ++row) {
    const MapShape shape = all[row].shape;
    for (int k = 0; k < shape.c; ++k) {
      std::uint8_t* const tile = tiles.data() + (row * columns + k) * side * side;
      for (int y = 0; y < side; ++y) {
        for (int x = 0; x < side; ++x) {
          const int from_y = y * shape.h / side, from_x = x * shape.w / side;
          const bool one = all[row].values[(std::size_t(k) * shape.h + from_y) * shape.w + from_x] != 0;
          tile[y * side + x] = one ? kThrough : kTransformed;
        }
      }
    }
  }
  return tiles;
}

}  // namespace flowsmith::core
