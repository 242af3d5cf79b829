// flow-masks: pictures of the masks of a flow's couplings.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/png.h"
#include "kernels/mask.h"
#include "models/bijectors/bijector.h"
#include "tools/files.h"
#include "tools/flow_option.h"
#include "tools/table.h"
#include "tools/tool.h"

namespace flowsmith {
namespace {

/// A mask as pictures, one for each channel; 1 where an element is let through.
struct MaskPicture {
  std::string name;
  MapShape shape;                    ///< n = 1
  std::vector<std::uint8_t> values;  ///< (c, h, w)

  double share() const { return double(std::count(values.begin(), values.end(), 1)) / double(values.size()); }
};

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

/// Tiles of `side` x `side` pixels, a row for each mask and a column for each channel: white is let through, dark is
/// transformed, and where a mask has no such channel there is nothing.
std::vector<std::uint8_t> tiles_of(const std::vector<MaskPicture>& all, int side, int columns) {
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

int show_masks(const cxxopts::ParseResult& options) {
  const std::string picture = output_from(options, "out", "masks.png"), json = output_from(options, "json", "");
  require_outputs({}, {{"--out", picture}, {"--json", json}});
  require_kind({"--out", picture}, ".png");
  require_kind({"--json", json}, ".json");
  const Flow flow = flow_from(options);
  std::vector<MaskPicture> all;
  for (const NamedMask& mask : flow.masks()) all.push_back(picture_of(mask, flow.data_shape(1)));
  if (all.empty()) throw Error("this flow has no masks: it has no couplings");
  int side = 1, columns = 1;
  for (const MaskPicture& one : all) {
    side = std::max({side, one.shape.h, one.shape.w});
    columns = std::max(columns, one.shape.c);
  }
  const GridOptions grid{.columns = columns, .zoom = options["zoom"].as<int>()};
  measure_grid(int(all.size()) * columns, side, side, grid);

  std::vector<std::vector<std::string>> rows;
  nlohmann::ordered_json numbers = nlohmann::ordered_json::array();
  for (const MaskPicture& one : all) {
    char share[16];
    std::snprintf(share, sizeof share, "%.1f %%", 100 * one.share());
    const MapShape& s = one.shape;
    rows.push_back({one.name, map_text(s), share});
    numbers.push_back({{"name", one.name}, {"shape", {s.c, s.h, s.w}}, {"values", one.values}});
  }
  print_table({{"Mask", true}, {"Shape", true}, {"Let through"}}, rows);
  write_png_grid(picture, tiles_of(all, side, columns).data(), int(all.size()) * columns, side, side, grid);
  std::printf("%s as a picture: %s\n", counted(std::int64_t(all.size()), "mask").c_str(), shown(picture).c_str());
  if (!json.empty()) write_file_atomically(json, numbers.dump() + "\n");
  return 0;
}

}  // namespace
}  // namespace flowsmith

int main(int argc, char** argv) {
  cxxopts::Options options(
      "flow masks",
      "Pictures of the masks of a flow's couplings: a row for each, a column for each channel. White "
      "is let through and steers, dark is transformed.\n");
  flowsmith::add_flow_options(options);
  // clang-format off
  options.add_options()
      ("out", "Picture (PNG); - is stdout, here and below", cxxopts::value<std::string>()->default_value("masks.png"))
      ("json", "The masks as numbers, channel by channel (default: none)", cxxopts::value<std::string>())
      ("zoom", "Enlarge each pixel of the picture this often", cxxopts::value<int>()->default_value("4"));
  // clang-format on
  return flowsmith::run_tool("flow masks", options, argc, argv, flowsmith::show_masks);
}
