// flowsmith info: what a flow is made of.
#include "models/config_reference.h"
#include "models/flow.h"
#include "tools/flow_option.h"
#include "tools/table.h"
#include "tools/tool.h"
#include "tools/tool_list.h"

namespace flowsmith::core {
namespace {

/// "images 28 x 28", "colour images 32 x 32", "vectors of 2 numbers".
std::string data_text(const Flow& flow) {
  const MapShape s = flow.data_shape(1);
  const std::string sides = std::to_string(s.h) + " x " + std::to_string(s.w);
  if (flow.takes_images()) return (s.c == 3 ? "colour images " : "images ") + sides;
  if (s.h == 1 && s.w == 1) return "vectors of " + std::to_string(s.c) + " numbers";
  return "maps of " + sides + " x " + std::to_string(s.c) + " numbers";
}

void list_models() {
  std::vector<std::vector<std::string>> rows;
  for (const std::string& name : FlowConfig::names()) {
    rows.push_back({name, FlowConfig::named(name).description()});
  }
  print_table({{"Name", true}, {"What", true}}, rows);
}

void print_layers(const Flow& flow) {
  std::vector<std::vector<std::string>> rows;
  for (const Flow::LayerInfo& layer : flow.layers()) {
    std::string what = layer.description;
    if (layer.condition_number) what += number_text(", condition number %.3g", *layer.condition_number);
    rows.push_back({layer.name, what, map_text(layer.output), std::to_string(layer.parameters)});
  }
  print_table({{"Layer", true}, {"What", true}, {"Output", true}, {"Parameters"}}, rows);
  std::printf("\nlatents:");
  for (const auto& [name, shape] : flow.latent_shapes()) std::printf(" %s %s;", name.c_str(), map_text(shape).c_str());
  std::printf("\nparameters: %zu\n", flow.parameters().element_count());
}

int info(const cxxopts::ParseResult& options) {
  if (options["reference"].as<bool>()) {
    std::fputs(config_reference().c_str(), stdout);
    return 0;
  }
  if (options["list"].as<bool>()) {
    list_models();
    return 0;
  }
  const Flow flow = flow_from(options);
  if (options["json"].as<bool>()) {
    std::fputs(flow.config().text().c_str(), stdout);
    return 0;
  }
  std::printf("model %s, %s\n\n", flow.config().name().c_str(), data_text(flow).c_str());
  print_layers(flow);
  return 0;
}

}  // namespace

int info_tool(int argc, char** argv) {
  cxxopts::Options options("flowsmith info", "Lists the layers of a flow with output shapes and parameter counts.\n");
  add_flow_options(options);
  // clang-format off
  options.add_options()
      ("list", "List the named models (default: off)", cxxopts::value<bool>()->default_value("false"))
      ("json", "Print the configuration with every default, to start one's own from (default: off)",
       cxxopts::value<bool>()->default_value("false"))
      ("reference", "Print all that a configuration may say, as docs/config.md has it (default: off)",
       cxxopts::value<bool>()->default_value("false"));
  // clang-format on
  return run_tool("flowsmith info", options, argc, argv, info);
}

}  // namespace flowsmith::core
