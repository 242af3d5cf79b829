// flowsmith health: how the layers of a flow compute, to find where one goes wrong.
#include <nlohmann/json.hpp>

#include "models/interchange/checkpoints.h"
#include "tools/device_options.h"
#include "tools/examples_option.h"
#include "tools/files.h"
#include "tools/pictures/health_view.h"
#include "tools/table.h"
#include "tools/tool_list.h"
#include "tools/weights_option.h"

namespace flowsmith::core {
namespace {

constexpr int kMostExamples = 1024;  // in one pass, with gradients

void print_health(const std::vector<Flow::LayerHealth>& layers) {
  const auto maybe = [](const std::optional<double>& value, const char* format, double factor = 1) {
    return value ? number_text(format, factor * *value) : std::string("-");
  };
  std::vector<std::vector<std::string>> rows;
  for (const Flow::LayerHealth& layer : layers) {
    const auto scale = layer.log_scale;
    rows.push_back({layer.name, layer.description, number_text("%.1e", layer.round_trip),
                    scale ? number_text("%.3f", scale->first) : "-", scale ? number_text("%.3f", scale->second) : "-",
                    maybe(layer.share_of_bound, "%.1f %%", 100), number_text("%.1e", layer.precision_gap),
                    maybe(layer.dead_channels, "%.1f %%", 100), maybe(layer.condition_number, "%.3g")});
  }
  print_table({{"Layer", true},
               {"What", true, 3},
               {"Round trip"},
               {"Log-scale from"},
               {"to"},
               {"Of bound"},
               {"f32 - f64", false, 1},
               {"Dead", false, 1},
               {"Condition", false, 2}},
              rows);
}

nlohmann::ordered_json json_of(const std::vector<Flow::LayerHealth>& layers) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const Flow::LayerHealth& layer : layers) {
    nlohmann::ordered_json row{{"name", layer.name}, {"what", layer.description}, {"round_trip", layer.round_trip}};
    if (layer.log_scale) row["log_scale"] = {layer.log_scale->first, layer.log_scale->second};
    if (layer.share_of_bound) row["share_of_bound"] = *layer.share_of_bound;
    row["precision_gap"] = layer.precision_gap;
    if (layer.dead_channels) row["dead_channels"] = *layer.dead_channels;
    if (layer.condition_number) row["condition_number"] = *layer.condition_number;
    all.push_back(row);
  }
  return all;
}

int look_at_health(const cxxopts::ParseResult& options) {
  const std::string images = images_from(options, {"split", "data"});
  const std::string weights = weights_from(options);
  const std::string picture = output_from(options, "out", "health.png"), json = output_from(options, "json", "");
  require_outputs({{"--weights", weights}, {"--images", images}}, {{"--out", picture}, {"--json", json}});
  require_figure({"--out", picture});
  require_kind({"--json", json}, ".json");
  const int limit = options["limit"].as<int>();
  if (limit < 1 || limit > kMostExamples) {
    throw Error("--limit must be 1 to " + std::to_string(kMostExamples));
  }
  Flow flow = load_flow(weights, device_from(options));
  ExamplePiece examples =
      examples_from(options, images, weights, flow, [&](ExampleSet& set) { set.restrict_to(0, limit); });
  Batch batch = examples.batch();
  batch = batch.slice(flow.dims(), 0, std::min(batch.n, limit));
  const std::vector<Flow::LayerHealth> layers =
      flow.layer_health(batch, {NoiseStream{options["seed"].as<std::uint64_t>(), NoisePurpose::kScoring, 0}});
  std::printf("layers at work on %s\n\n", counted(batch.n, flow.takes_images() ? "image" : "row").c_str());
  print_health(layers);
  const Figure figure = health_figure(layers);
  if (!figure.panels.empty()) {
    write_figure(picture, figure);
    std::printf("\nlog-scales as a picture: %s\n", shown(picture).c_str());
  } else if (options.count("out") > 0) {
    throw Error("this flow has no couplings to draw: leave --out out");
  }
  if (!json.empty()) write_file_atomically(json, json_of(layers).dump(2) + "\n");
  return 0;
}

}  // namespace

int health_tool(int argc, char** argv) {
  cxxopts::Options options(
      "flowsmith health",
      "How the layers of a flow compute on some examples. Round trip: the largest error of an element where a layer is "
      "inverted at its own output, in f64. Log-scale: the smallest and largest log dz/dx of a coupling. Of bound: the "
      "mean of its log-determinant as a share of the largest that its bound allows. f32 - f64: the largest difference "
      "between log-determinants of an example with x in either precision, in nats. Dead: share of the hidden channels "
      "of "
      "its network to which no example gives a gradient. Condition: of the matrix of a linear layer.\n");
  const std::string default_weights = kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", kWeightsHelp + default_weights, cxxopts::value<std::string>())
      ("limit", "Examples that are looked at, the first of the split, 1024 at most", cxxopts::value<int>()->default_value("64"))
      ("seed", "Of the noise; given, also of the split into train and val, which otherwise is that of the training run",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("out", "Chart of the couplings (PNG or SVG); - is stdout, here and below",
       cxxopts::value<std::string>()->default_value("health.png"))
      ("json", "The table as numbers (default: none)", cxxopts::value<std::string>());
  // clang-format on
  add_example_options(options);
  add_device_options(options);
  return run_tool("flowsmith health", options, argc, argv, look_at_health);
}

}  // namespace flowsmith::core
