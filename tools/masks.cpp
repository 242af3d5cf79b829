// flowsmith masks: pictures of the masks of a flow's couplings.
#include <nlohmann/json.hpp>

#include "data/png.h"
#include "tools/files.h"
#include "tools/flow_option.h"
#include "tools/pictures/masks_view.h"
#include "tools/table.h"
#include "tools/tool.h"
#include "tools/tool_list.h"

namespace flowsmith::core {
namespace {

int show_masks(const cxxopts::ParseResult& options) {
  const std::string picture = output_from(options, "out", "masks.png"), json = output_from(options, "json", "");
  require_outputs({}, {{"--out", picture}, {"--json", json}});
  require_kind({"--out", picture}, ".png");
  require_kind({"--json", json}, ".json");
  const Flow flow = flow_from(options);
  const MaskPictures all = pictures_of_masks(flow);
  if (all.masks.empty()) throw Error("this flow has no masks: it has no couplings");
  const GridOptions grid{.columns = all.columns, .zoom = options["zoom"].as<int>()};
  measure_grid(int(all.masks.size()) * all.columns, all.side, all.side, grid);

  std::vector<std::vector<std::string>> rows;
  nlohmann::ordered_json numbers = nlohmann::ordered_json::array();
  for (const MaskPicture& one : all.masks) {
    char share[16];
    std::snprintf(share, sizeof share, "%.1f %%", 100 * one.share());
    const MapShape& s = one.shape;
    rows.push_back({one.name, map_text(s), share});
    numbers.push_back({{"name", one.name}, {"shape", {s.c, s.h, s.w}}, {"values", one.values}});
  }
  print_table({{"Mask", true}, {"Shape", true}, {"Let through"}}, rows);
  write_png_grid(picture, tiles_of(all).data(), int(all.masks.size()) * all.columns, all.side, all.side, grid);
  std::printf("%s as a picture: %s\n", counted(std::int64_t(all.masks.size()), "mask").c_str(), shown(picture).c_str());
  if (!json.empty()) write_file_atomically(json, numbers.dump() + "\n");
  return 0;
}

}  // namespace

int masks_tool(int argc, char** argv) {
  cxxopts::Options options(
      "flowsmith masks",
      "Pictures of the masks of a flow's couplings: a row for each, a column for each channel. White "
      "is let through and steers, dark is transformed.\n");
  add_flow_options(options);
  // clang-format off
  options.add_options()
      ("out", "Picture (PNG); - is stdout, here and below", cxxopts::value<std::string>()->default_value("masks.png"))
      ("json", "The masks as numbers, channel by channel (default: none)", cxxopts::value<std::string>())
      ("zoom", "Enlarge each pixel of the picture this often", cxxopts::value<int>()->default_value("4"));
  // clang-format on
  return run_tool("flowsmith masks", options, argc, argv, show_masks);
}

}  // namespace flowsmith::core
