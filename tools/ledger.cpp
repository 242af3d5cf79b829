// flow-ledger: where the bits of a score come from.
#include <cmath>
#include <nlohmann/json.hpp>

#include "tools/device_options.h"
#include "tools/examples_option.h"
#include "tools/files.h"
#include "tools/progress.h"
#include "tools/table.h"
#include "tools/weights_option.h"

namespace flowsmith {
namespace {

constexpr std::size_t kPiece = 64;

/// One line: a term's mean over the examples in the flow's unit, bits/dim or nats. What a score counts is -log p.
struct Line {
  std::string name, what;
  MapShape map;
  double mean = 0;
};

std::vector<Line> mean_ledger(Flow& flow, const ExamplePiece& examples, std::uint64_t seed) {
  std::vector<Line> lines;
  const Batch batch = examples.batch();
  CountProgress progress("scoring", examples.index.size());
  for (std::size_t begin = 0; begin < examples.index.size(); begin += kPiece) {
    const std::size_t n = std::min(kPiece, examples.index.size() - begin);
    const auto terms =
        flow.ledger(batch.slice(flow.dims(), int(begin), int(n)), {NoiseStream{seed, NoisePurpose::kScoring, 0}});
    lines.resize(terms.size());
    for (std::size_t t = 0; t < terms.size(); ++t) {
      lines[t].name = terms[t].name;
      lines[t].what = terms[t].what;
      lines[t].map = terms[t].map;
      for (const double nats : terms[t].nats) lines[t].mean -= nats / flow.nats_per_unit();
    }
    progress.update(begin + n);
  }
  for (Line& line : lines) line.mean /= double(examples.index.size());
  return lines;
}

/// A bar of up to `width` characters, '+' for what costs and '-' for what is gained.
std::string bar(double value, double largest, int width) {
  const auto length = largest > 0 ? std::size_t(std::lround(std::abs(value) / largest * width)) : 0;
  return std::string(length, value < 0 ? '-' : '+');
}

void print_ledger(const std::vector<Line>& lines, const std::string& unit) {
  double total = 0, largest = 0;
  for (const Line& line : lines) {
    total += line.mean;
    largest = std::max(largest, std::abs(line.mean));
  }
  std::vector<std::vector<std::string>> rows;
  for (const Line& line : lines) {
    rows.push_back({line.name, line.what, map_text(line.map), decimals(line.mean), bar(line.mean, largest, 12)});
  }
  rows.push_back({"total", "", "", decimals(total), ""});
  print_table({{"Part", true}, {"What", true}, {"Map", true, 1}, {unit}, {"", true, 2}}, rows);
}

int show_ledger(const cxxopts::ParseResult& options) {
  const std::string images = images_from(options, {"split", "data"});
  const std::string weights = weights_from(options);
  const std::string json = options.count("json") > 0 ? output_named(options["json"].as<std::string>()) : "";
  require_outputs({{"--weights", weights}, {"--images", images}}, {{"--json", json}});
  require_kind({"--json", json}, ".json");
  const int limit = options["limit"].as<int>();
  if (limit < 1) throw Error("--limit must be 1 or more");
  Flow flow = Flow::load(weights, device_from(options));
  const ExamplePiece examples =
      examples_from(options, images, weights, flow, [&](ExampleSet& set) { set.restrict_to(0, limit); });
  const std::vector<Line> lines = mean_ledger(flow, examples, options["seed"].as<std::uint64_t>());
  std::printf("%s, mean of %s%s\n\n", flow.unit().c_str(),
              counted(std::int64_t(examples.index.size()), flow.takes_images() ? "image" : "row").c_str(),
              flow.takes_images() ? " with one draw of noise" : "");
  print_ledger(lines, flow.takes_images() ? "Bits/dim" : "Nats");
  if (!json.empty()) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const Line& line : lines) {
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
}  // namespace flowsmith

int main(int argc, char** argv) {
  cxxopts::Options options(
      "flow ledger",
      "Where the bits of a score come from: every part of -log p(x), mean of some examples. Their sum "
      "is the score with one draw of noise. A part below zero gains: it makes the data likelier.\n");
  const std::string default_weights = flowsmith::kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", flowsmith::kWeightsHelp + default_weights, cxxopts::value<std::string>())
      ("limit", "Examples that are scored, the first of the split", cxxopts::value<int>()->default_value("256"))
      ("seed", "Of the noise; given, also of the split into train and val, which otherwise is that of the training run",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("json", "The parts as numbers; - is stdout (default: none)", cxxopts::value<std::string>());
  // clang-format on
  flowsmith::add_example_options(options);
  flowsmith::add_device_options(options);
  return flowsmith::run_tool("flow ledger", options, argc, argv, flowsmith::show_ledger);
}
