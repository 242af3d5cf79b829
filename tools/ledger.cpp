// flowsmith ledger: where the bits of a score come from.
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/interchange/checkpoints.h"
#include "tools/device_options.h"
#include "tools/examples_option.h"
#include "tools/files.h"
#include "tools/pictures/ledger_view.h"
#include "tools/table.h"
#include "tools/tool_list.h"
#include "tools/weights_option.h"

namespace flowsmith::core {
namespace {

/// A bar of up to `width` characters, '+' for what costs and '-' for what is gained.
std::string bar(double value, double largest, int width) {
  const auto length = largest > 0 ? std::size_t(std::lround(std::abs(value) / largest * width)) : 0;
  return std::string(length, value < 0 ? '-' : '+');
}

void print_ledger(const std::vector<LedgerLine>& lines, const std::string& unit) {
  double largest = 0;
  for (const LedgerLine& line : lines) largest = std::max(largest, std::abs(line.mean));
  std::vector<std::vector<std::string>> rows;
  for (const LedgerLine& line : lines) {
    rows.push_back({line.name, line.what, map_text(line.map), decimals(line.mean), bar(line.mean, largest, 12)});
  }
  rows.push_back({"total", "", "", decimals(ledger_total(lines)), ""});
  print_table({{"Part", true}, {"What", true}, {"Map", true, 1}, {unit}, {"", true, 2}}, rows);
}

int show_ledger(const cxxopts::ParseResult& options) {
  const std::string images = images_from(options, {"split", "data"});
  const std::string weights = weights_from(options);
  const std::string picture = output_from(options, "out", "ledger.png"), json = output_from(options, "json", "");
  require_outputs({{"--weights", weights}, {"--images", images}}, {{"--out", picture}, {"--json", json}});
  require_figure({"--out", picture});
  require_kind({"--json", json}, ".json");
  const int limit = options["limit"].as<int>();
  if (limit < 1) throw Error("--limit must be 1 or more");
  Flow flow = load_flow(weights, device_from(options));
  const ExamplePiece examples =
      examples_from(options, images, weights, flow, [&](ExampleSet& set) { set.restrict_to(0, limit); });
  const std::vector<LedgerLine> lines = mean_ledger(flow, examples, options["seed"].as<std::uint64_t>());
  std::printf("%s, mean of %s%s\n\n", flow.unit().c_str(),
              counted(std::int64_t(examples.index.size()), flow.takes_images() ? "image" : "row").c_str(),
              flow.takes_images() ? " with one draw of noise" : "");
  print_ledger(lines, flow.takes_images() ? "Bits/dim" : "Nats");
  write_figure(picture, ledger_figure(lines, flow.unit()));
  std::printf("\nthe parts as a picture: %s\n", shown(picture).c_str());
  if (!json.empty()) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const LedgerLine& line : lines) {
      rows.push_back({{"name", line.name},
                      {"what", line.what},
                      {"map", {line.map.c, line.map.h, line.map.w}},
                      {flow.takes_images() ? "bits_per_dim" : "nats", line.mean}});
    }
    write_file_atomically(json, rows.dump(2) + "\n");
  }
  return 0;
}

}  // namespace

int ledger_tool(int argc, char** argv) {
  cxxopts::Options options(
      "flowsmith ledger",
      "Where the bits of a score come from: every part of -log p(x), mean of some examples. Their sum "
      "is the score with one draw of noise. A part below zero gains: it makes the data likelier.\n");
  const std::string default_weights = kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", kWeightsHelp + default_weights, cxxopts::value<std::string>())
      ("limit", "Examples that are scored, the first of the split", cxxopts::value<int>()->default_value("256"))
      ("seed", "Of the noise; given, also of the split into train and val, which otherwise is that of the training run",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("out", "Chart of the parts (PNG or SVG); - is stdout, here and below", cxxopts::value<std::string>()->default_value("ledger.png"))
      ("json", "The parts as numbers (default: none)", cxxopts::value<std::string>());
  // clang-format on
  add_example_options(options);
  add_device_options(options);
  return run_tool("flowsmith ledger", options, argc, argv, show_ledger);
}

}  // namespace flowsmith::core
