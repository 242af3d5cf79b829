// flowsmith plane: flows of points in the plane, as pictures.
#include <nlohmann/json.hpp>

#include "models/interchange/checkpoints.h"
#include "tools/device_options.h"
#include "tools/examples_option.h"
#include "tools/files.h"
#include "tools/pictures/plane_view.h"
#include "tools/tool_list.h"
#include "tools/weights_option.h"

namespace flowsmith::core {
namespace {

int look_at_plane(const cxxopts::ParseResult& options) {
  const std::string points = images_from(options, {"split", "data"});
  if (options.count("weights") == 0)
    throw Error("--weights is missing: name those of a flow of the plane, e.g. runs/moons");
  const std::string weights = weights_from(options);
  const std::string picture = output_from(options, "out", "plane.png"),
                    layers = output_from(options, "layers", "plane_layers.png"),
                    json = output_from(options, "json", "");
  require_outputs({{"--weights", weights}, {"--images", points}},
                  {{"--out", picture}, {"--layers", layers}, {"--json", json}});
  require_figure({"--out", picture});
  require_figure({"--layers", layers});
  require_kind({"--json", json}, ".json");
  const int limit = options["limit"].as<int>(), cells = options["cells"].as<int>();
  if (limit < 1) throw Error("--limit must be 1 or more");
  if (cells < 8 || cells > 1024) throw Error("--cells must be 8 to 1024");
  const std::uint64_t seed = options["seed"].as<std::uint64_t>();
  Flow flow = load_flow(weights, device_from(options));
  if (!is_plane(flow))
    throw Error(weights + ": not a flow of the plane, which takes rows of two numbers and keeps them together");
  const ExamplePiece examples =
      examples_from(options, points, weights, flow, [&](ExampleSet& set) { set.restrict_to(0, limit); });
  const PlaneDensity density = plane_density(flow, square_of(examples.values, 0.001), cells);
  write_figure(picture, plane_figure(flow, density, examples.values, seed));
  write_figure(layers, plane_layers_figure(flow, seed));
  std::printf(
      "density, samples, latents and grid as a picture: %s\nlayer by layer: %s\nintegral of the density over the "
      "picture: %.4f\n",
      shown(picture).c_str(), shown(layers).c_str(), density.mass);
  if (!json.empty()) {
    const PlotSquare& s = density.square;
    write_file_atomically(json, nlohmann::ordered_json{{"left", s.left},
                                                       {"bottom", s.bottom},
                                                       {"side", s.side},
                                                       {"cells", density.side},
                                                       {"mass", density.mass},
                                                       {"density", density.values}}
                                        .dump() +
                                    "\n");
  }
  return 0;
}

}  // namespace

int plane_tool(int argc, char** argv) {
  cxxopts::Options options(
      "flowsmith plane",
      "Pictures of a flow of the plane: its density with data over it, samples, data under the flow, the image of a "
      "regular grid, and the way from noise to samples layer by layer.\n");
  // clang-format off
  options.add_options()
      ("weights", kWeightsHelp, cxxopts::value<std::string>())
      ("limit", "Points that are drawn, the first of the split", cxxopts::value<int>()->default_value("5000"))
      ("cells", "Cells of the density, each way, 8 to 1024", cxxopts::value<int>()->default_value("160"))
      ("seed", "Of samples; given, also of the split into train and val, which otherwise is that of the training run",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("out", "Picture of density, samples, latents and grid (PNG or SVG); - is stdout, here and below",
       cxxopts::value<std::string>()->default_value("plane.png"))
      ("layers", "Picture of the way layer by layer", cxxopts::value<std::string>()->default_value("plane_layers.png"))
      ("json", "The density as numbers, row by row from the top (default: none)", cxxopts::value<std::string>());
  // clang-format on
  add_example_options(options);
  add_device_options(options);
  return run_tool("flowsmith plane", options, argc, argv, look_at_plane);
}

}  // namespace flowsmith::core
