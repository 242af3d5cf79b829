// flow-info: what a flow is made of.
#include "models/flow.h"
#include "tools/tool.h"

namespace flowsmith {
namespace {

std::string shape_of(MapShape s) {
  return std::to_string(s.c) + " x " + std::to_string(s.h) + " x " + std::to_string(s.w);
}

Flow flow_of_options(const cxxopts::ParseResult& options) {
  if (options.count("weights") > 0) {
    for (const char* const name : {"model", "edition", "couplings", "height", "width"}) {
      if (options.count(name) > 0) throw Error("give --weights or --" + std::string(name) + ", not both");
    }
    return Flow::load(options["weights"].as<std::string>());
  }
  return Flow({parse_architecture(options["model"].as<std::string>()),
               parse_edition(options["edition"].as<std::string>()), options["height"].as<int>(),
               options["width"].as<int>(), options["couplings"].as<int>()});
}

int info(const cxxopts::ParseResult& options) {
  const Flow flow = flow_of_options(options);
  std::printf("model %s, edition %s, images %d x %d\n\n", architecture_name(flow.spec().architecture).c_str(),
              edition_name(flow.spec().edition).c_str(), flow.spec().height, flow.spec().width);
  std::printf("%-9s %-48s %-14s %12s\n", "Layer", "What", "Output", "Parameters");
  for (const Flow::LayerInfo& layer : flow.layers()) {
    std::printf("%-9s %-48s %-14s %12zu\n", layer.name.c_str(), layer.description.c_str(),
                shape_of(layer.output).c_str(), layer.parameters);
  }
  std::printf("\nlatents:");
  for (const auto& [name, shape] : flow.latent_shapes()) std::printf(" %s %s;", name.c_str(), shape_of(shape).c_str());
  std::printf("\nparameters: %zu\n", flow.parameters().element_count());
  return 0;
}

}  // namespace
}  // namespace flowsmith

int main(int argc, char** argv) {
  cxxopts::Options options("flow info", "Lists the layers of a flow with output shapes and parameter counts.\n");
  // clang-format off
  options.add_options()
      ("weights", "Describe the model of this weight file", cxxopts::value<std::string>())
      ("model", "simple, vardeq or multiscale", cxxopts::value<std::string>()->default_value("multiscale"))
      ("edition", "of the tutorial: 2024 or 2022", cxxopts::value<std::string>()->default_value("2024"))
      ("couplings", "Behind the dequantization; of multiscale a multiple of 4",
       cxxopts::value<int>()->default_value("8"))
      ("height", "Rows of the images", cxxopts::value<int>()->default_value("28"))
      ("width", "Columns of the images", cxxopts::value<int>()->default_value("28"));
  // clang-format on
  return flowsmith::run_tool("flow info", options, argc, argv, flowsmith::info);
}
