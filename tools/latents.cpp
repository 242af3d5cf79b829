// flowsmith latents: what each scale of a flow holds. Samples that share some latents, and how near to a standard
// normal the latents of data are.
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/npy.h"
#include "data/png.h"
#include "models/interchange/checkpoints.h"
#include "tools/device_options.h"
#include "tools/examples_option.h"
#include "tools/files.h"
#include "tools/passes.h"
#include "tools/pictures/latents_view.h"
#include "tools/table.h"
#include "tools/tool_list.h"
#include "tools/weights_option.h"

namespace flowsmith::core {
namespace {

constexpr int kMostImages = 100'000;

/// Of --keep: final, first, or the number of a split.
std::size_t parse_keep(const std::string& text, const Latents& latents) {
  if (text == "final") return latents.size() - 1;
  if (text == "first") return 0;
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number + 1 < latents.size()) return number;
  const std::size_t splits = latents.size() - 1;
  throw Error("unknown --keep " + in_quotes(text, 40) + ": choose final, first" +
              (splits > 1 ? ", or the number of a split, 0 to " + std::to_string(splits - 1) : ""));
}

/// "0.7,1.0": one for each latent, or one for all.
std::vector<double> parse_temperatures(const std::string& text, std::size_t latents) {
  std::vector<double> all = parse_numbers(
      "--temperature", text, [](double t) { return t >= 0; },
      "write numbers of 0 or more as 0.7,1.0, one for each latent, or one for all");
  if (all.size() == 1) all.resize(latents, all[0]);
  if (all.size() == latents) return all;
  throw Error("--temperature: the flow has " + counted(std::int64_t(latents), "latent") + ", not " +
              std::to_string(all.size()) + ": give one number for each, or one for all");
}

void print_normality(const std::vector<LatentNumbers>& all, std::size_t examples, const char* unit) {
  std::vector<std::vector<std::string>> rows;
  for (const LatentNumbers& one : all) {
    rows.push_back({one.name, map_text(one.shape), decimals(one.found.mean), decimals(one.found.deviation),
                    decimals(one.found.distance)});
  }
  std::printf("latents of %s, beside a standard normal (mean 0, deviation 1, distance 0)\n\n",
              counted(std::int64_t(examples), unit).c_str());
  print_table({{"Latent", true}, {"Shape", true}, {"Mean"}, {"Deviation"}, {"Distance"}}, rows);
}

nlohmann::ordered_json json_of(const std::vector<LatentNumbers>& all) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const LatentNumbers& one : all) {
    rows.push_back({{"name", one.name},
                    {"shape", map_text(one.shape)},
                    {"numbers", one.count},
                    {"mean", one.found.mean},
                    {"deviation", one.found.deviation},
                    {"distance", one.found.distance},
                    {"histogram",
                     {{"from", -kLatentEnd},
                      {"width", kLatentBin},
                      {"density", one.density},
                      {"below", one.below},
                      {"above", one.above}}}});
  }
  return rows;
}

/// Rows of samples that share a latent.
struct SampleRows {
  std::string picture, npy;
  int rows, columns, zoom;
};

void draw_rows(Flow& flow, const SampleRows& wanted, const cxxopts::ParseResult& options) {
  const int n = wanted.rows * wanted.columns;
  const MapShape shape = flow.data_shape(n);
  const GridOptions grid{.columns = wanted.columns, .zoom = wanted.zoom, .channels = shape.c};
  if (!wanted.picture.empty()) measure_grid(n, shape.h, shape.w, grid);
  const std::size_t latents = flow.latent_shapes().size();
  Latents drawn =
      flow.draw_latents({.count = n,
                         .seed = options["seed"].as<std::uint64_t>(),
                         .temperatures = parse_temperatures(options["temperature"].as<std::string>(), latents)});
  share_in_rows(drawn, parse_keep(options["keep"].as<std::string>(), drawn), wanted.columns);
  const std::vector<std::uint8_t> pixels = flow.decode(drawn, n);
  if (!wanted.npy.empty()) {
    std::vector<std::int64_t> dims{wanted.rows, wanted.columns, shape.h, shape.w};
    if (shape.c > 1) dims.push_back(shape.c);
    write_npy<std::uint8_t>(wanted.npy, dims, pixels);
    std::printf("%s as an array: %s\n", counted(n, "sample").c_str(), shown(wanted.npy).c_str());
  }
  if (!wanted.picture.empty()) {
    write_png_grid(wanted.picture, pixels.data(), n, shape.h, shape.w, grid);
    std::printf("%s of %d samples as a picture: %s\n", counted(wanted.rows, "row").c_str(), wanted.columns,
                shown(wanted.picture).c_str());
  }
}

int look_at_latents(const cxxopts::ParseResult& options) {
  const std::string images = images_from(options, {"split", "data"});
  const std::string weights = weights_from(options);
  SampleRows wanted{output_from(options, "out", options.count("npy") > 0 ? "" : "latents.png"),
                    output_from(options, "npy", ""), options["rows"].as<int>(), options["columns"].as<int>(),
                    options["zoom"].as<int>()};
  const std::string json = output_from(options, "json", "");
  const std::string histograms = output_from(options, "histograms", "latent_histograms.png");
  require_outputs({{"--weights", weights}, {"--images", images}},
                  {{"--out", wanted.picture}, {"--npy", wanted.npy}, {"--histograms", histograms}, {"--json", json}});
  require_figure({"--histograms", histograms});
  require_kind({"--out", wanted.picture}, ".png");
  require_kind({"--npy", wanted.npy}, ".npy");
  require_kind({"--json", json}, ".json");
  for (const auto& [name, value] : {std::pair{"rows", wanted.rows}, {"columns", wanted.columns}}) {
    if (value < 1 || value > 1000) throw Error("--" + std::string(name) + " must be 1 to 1000");
  }
  if (wanted.rows * wanted.columns > kMostImages) {
    throw Error("--rows times --columns must be at most " + std::to_string(kMostImages));
  }
  const int limit = options["limit"].as<int>();
  if (limit < 1) throw Error("--limit must be 1 or more");
  Flow flow = load_flow(weights, device_from(options));
  if (flow.takes_images()) {
    draw_rows(flow, wanted, options);
  } else {
    for (const char* const name : {"out", "npy", "keep", "rows", "columns", "zoom", "temperature"}) {
      if (options.count(name) > 0) throw Error("--" + std::string(name) + " is for flows of images: leave it out");
    }
  }
  const ExamplePiece examples =
      examples_from(options, images, weights, flow, [&](ExampleSet& set) { set.restrict_to(0, limit); });
  const std::vector<LatentNumbers> found = latents_of_data(flow, examples, options["seed"].as<std::uint64_t>());
  print_normality(found, examples.index.size(), flow.takes_images() ? "image" : "row");
  write_figure(histograms, latents_figure(found));
  std::printf("\nhistograms as a picture: %s\n", shown(histograms).c_str());
  if (!json.empty()) write_file_atomically(json, json_of(found).dump(2) + "\n");
  say_passes(flow);
  return 0;
}

}  // namespace

int latents_tool(int argc, char** argv) {
  cxxopts::Options options("flowsmith latents",
                           "What the latents of a flow hold: rows of samples that share one of them, the others drawn "
                           "anew, and how near to a "
                           "standard normal the latents of data are.\n\nDistance is the largest difference between the "
                           "share of numbers below "
                           "any x and that of a standard normal (Kolmogorov and Smirnov).\n");
  const std::string default_weights = kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", kWeightsHelp + default_weights, cxxopts::value<std::string>())
      ("keep", "What the samples of a row share: final, first (of the splits), or the number of a split",
       cxxopts::value<std::string>()->default_value("final"))
      ("rows", "Rows of samples", cxxopts::value<int>()->default_value("3"))
      ("columns", "Samples in a row", cxxopts::value<int>()->default_value("8"))
      ("temperature", "Factor on the deviations of all latents, or one for each in the order of flowsmith info: 0.7,1.0",
       cxxopts::value<std::string>()->default_value("1.0"))
      ("limit", "Examples whose latents are looked at, the first of the split", cxxopts::value<int>()->default_value("256"))
      ("seed", "Of latents and noise; given, also of the split into train and val, which otherwise is that of the training run",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("out", "Picture of the samples, PNG (default: latents.png, or none with --npy); - is stdout, here and below",
       cxxopts::value<std::string>())
      ("npy", "Array of the samples: uint8, rows x columns x height x width (x 3 in colour) (default: none)",
       cxxopts::value<std::string>())
      ("histograms", "Chart of the latents of data (PNG or SVG)",
       cxxopts::value<std::string>()->default_value("latent_histograms.png"))
      ("json", "The table and the histograms as numbers (default: none)", cxxopts::value<std::string>())
      ("zoom", "Enlarge each pixel of the picture this often", cxxopts::value<int>()->default_value("2"));
  // clang-format on
  add_example_options(options);
  add_device_options(options);
  return run_tool("flowsmith latents", options, argc, argv, look_at_latents);
}

}  // namespace flowsmith::core
