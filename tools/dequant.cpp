// flowsmith dequant: what dequantization does to discrete values, and to the pixels of images.
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "models/interchange/checkpoints.h"
#include "tools/device_options.h"
#include "tools/examples_option.h"
#include "tools/files.h"
#include "tools/pictures/dequantization_view.h"
#include "tools/tool_list.h"
#include "tools/weights_option.h"

namespace flowsmith::core {
namespace {

/// "uniform", or "p0,p1,...": a probability for each value, which are brought to a sum of 1.
std::vector<double> parse_prior(const std::string& text, int quants) {
  if (text == "uniform") return std::vector<double>(std::size_t(quants), 1.0 / quants);
  std::vector<double> prior = parse_numbers(
      "--prior", text, [](double p) { return p >= 0 && p <= 1e100; },
      "write uniform, or a number of 0 or more for each value, as 0.1,0.2,0.4,0.3");
  if (prior.size() != std::size_t(quants)) {
    throw Error("--prior has " + counted(std::int64_t(prior.size()), "number") + " for " + std::to_string(quants) +
                " values: give one for each, or another --quants");
  }
  const double sum = std::accumulate(prior.begin(), prior.end(), 0.0);
  if (!(sum > 0)) throw Error("--prior: at least one probability must be above 0");
  for (double& p : prior) p /= sum;
  return prior;
}

nlohmann::ordered_json json_of(const DequantizationDensity& density) {
  nlohmann::ordered_json values = nlohmann::ordered_json::array();
  for (std::size_t k = 0; k < density.prior.size(); ++k) {
    values.push_back(
        {{"value", k}, {"probability", density.prior[k]}, {"z", density.z[k]}, {"density", density.density[k]}});
  }
  return values;
}

int look_at_dequantization(const cxxopts::ParseResult& options) {
  const std::string images = images_from(options, {"split", "data"});
  const std::string picture = output_from(options, "out", "dequantization.png"),
                    json = output_from(options, "json", "");
  const int quants = options["quants"].as<int>();
  if (quants < 2 || quants > 256) throw Error("--quants must be 2 to 256");
  const std::vector<double> prior = parse_prior(options["prior"].as<std::string>(), quants);
  const int limit = options["limit"].as<int>();
  if (limit < 1) throw Error("--limit must be 1 or more");
  const std::string weights = weights_from(options);
  require_outputs({{"--weights", weights}, {"--images", images}}, {{"--out", picture}, {"--json", json}});
  require_figure({"--out", picture});
  require_kind({"--json", json}, ".json");
  Flow flow = load_flow(weights, device_from(options));
  if (!flow.takes_images()) throw Error(weights + ": a flow of numbers, which dequantizes nothing");
  const ExamplePiece examples =
      examples_from(options, images, weights, flow, [&](ExampleSet& set) { set.restrict_to(0, limit); });

  std::vector<DequantizationDensity> densities{
      dequantization_density(std::vector<double>(std::size_t(quants), 1.0 / quants))};
  if (options["prior"].as<std::string>() != "uniform") densities.push_back(dequantization_density(prior));
  const DequantizedPixels pixels = dequantized_pixels(flow, examples, options["seed"].as<std::uint64_t>());
  write_figure(picture, dequantization_figure(densities, &pixels));
  std::printf("dequantization of %d values, and of the pixels of %s, as a picture: %s\n", quants,
              counted(std::int64_t(examples.index.size()), "image").c_str(), shown(picture).c_str());
  if (!json.empty()) {
    nlohmann::ordered_json numbers{{"values", json_of(densities.back())},
                                   {"pixels", {{"edges", pixels.edges}, {"uniform", pixels.uniform}}},
                                   {"noise", {{"uniform", pixels.noise_uniform}}}};
    if (!pixels.learned.empty()) {
      numbers["pixels"]["learned"] = pixels.learned;
      numbers["noise"]["learned"] = pixels.noise_learned;
    }
    write_file_atomically(json, numbers.dump() + "\n");
  }
  return 0;
}

}  // namespace

int dequant_tool(int argc, char** argv) {
  cxxopts::Options options(
      "flowsmith dequant",
      "What dequantization does: the volumes of discrete values on the real line behind the logit, with a uniform "
      "prior "
      "and with a given one, and where the pixels of images lie, with uniform noise and with the flow's own.\n");
  const std::string default_weights = kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", kWeightsHelp + default_weights, cxxopts::value<std::string>())
      ("quants", "Discrete values of the first charts, 2 to 256", cxxopts::value<int>()->default_value("8"))
      ("prior", "Probabilities of the values: uniform, or a number for each, P0,P1,...",
       cxxopts::value<std::string>()->default_value("uniform"))
      ("limit", "Images whose pixels are looked at, the first of the split", cxxopts::value<int>()->default_value("256"))
      ("seed", "Of the noise; given, also of the split into train and val, which otherwise is that of the training run",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("out", "Chart (PNG or SVG); - is stdout, here and below",
       cxxopts::value<std::string>()->default_value("dequantization.png"))
      ("json", "The densities and histograms (default: none)", cxxopts::value<std::string>());
  // clang-format on
  add_example_options(options);
  add_device_options(options);
  return run_tool("flowsmith dequant", options, argc, argv, look_at_dequantization);
}

}  // namespace flowsmith::core
