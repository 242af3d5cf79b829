// flow-eval: bits per dimension of weights on a dataset, with importance sampling.
#include <nlohmann/json.hpp>

#include "models/evaluation.h"
#include "tools/device_options.h"
#include "tools/progress.h"
#include "tools/weights_option.h"

namespace flowsmith {
namespace {

constexpr int kTimedBatch = 64;
constexpr int kTimingRepeats = 3;

struct Row {
  std::string weights;
  ModelSpec spec;
  Evaluation score;
  double scoring_ms, sampling_ms;
  std::size_t parameters;
};

Row evaluate_file(const std::string& path, const cxxopts::ParseResult& options, Device device, const Dataset& dataset) {
  Flow flow = Flow::load(path, device);
  require_image_size(flow, dataset);
  const std::uint64_t seed = options["seed"].as<std::uint64_t>();
  ImageSet set = select_images(dataset, parse_subset(options["split"].as<std::string>()), seed);
  set.restrict_to(options["offset"].as<std::int64_t>(), options["limit"].as<std::int64_t>());
  CountProgress progress("scoring " + path + ":", set.index.size());
  const EvaluationOptions evaluation{
      options["importance-samples"].as<int>(), options["batch-size"].as<int>(), {seed, NoisePurpose::kScoring, 0}};
  const Evaluation score = evaluate(flow, set, evaluation, [&](std::size_t done) {
    progress.update(done);
    return true;
  });
  return {path,
          flow.spec(),
          score,
          scoring_ms(flow, kTimedBatch, kTimingRepeats),
          sampling_ms(flow, kTimedBatch, kTimingRepeats),
          flow.parameters().element_count()};
}

void print_table(const std::vector<Row>& rows, const std::string& split, int samples) {
  std::printf("%s bits/dim with %d importance sample%s; times for a batch of %d\n\n", split.c_str(), samples,
              samples == 1 ? "" : "s", kTimedBatch);
  std::printf("%-11s %-8s %7s %19s %14s %12s %12s %12s  %s\n", "Model", "Edition", "Images", "Bits/dim",
              "Single sample", "Scoring", "Sampling", "Parameters", "Weights");
  for (const Row& row : rows) {
    char bits[40];
    std::snprintf(bits, sizeof bits, "%.4f +- %.4f", row.score.bits_per_dim, row.score.standard_error);
    std::printf("%-11s %-8s %7zu %19s %14.4f %9.0f ms %9.0f ms %12zu  %s\n",
                architecture_name(row.spec.architecture).c_str(), edition_name(row.spec.edition).c_str(),
                row.score.images, bits, row.score.single_sample_bits_per_dim, row.scoring_ms, row.sampling_ms,
                row.parameters, row.weights.c_str());
  }
}

void write_json(const std::string& path, const std::vector<Row>& rows, const std::string& split, int samples) {
  nlohmann::ordered_json array = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    array.push_back({{"weights", row.weights},
                     {"model", architecture_name(row.spec.architecture)},
                     {"edition", edition_name(row.spec.edition)},
                     {"split", split},
                     {"images", row.score.images},
                     {"importance_samples", samples},
                     {"bits_per_dim", row.score.bits_per_dim},
                     {"standard_error", row.score.standard_error},
                     {"single_sample_bits_per_dim", row.score.single_sample_bits_per_dim},
                     {"scoring_ms_64", row.scoring_ms},
                     {"sampling_ms_64", row.sampling_ms},
                     {"parameters", row.parameters}});
  }
  write_file_atomically(path, array.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

int eval(const cxxopts::ParseResult& options) {
  const auto weights = options.count("weights") > 0 ? options["weights"].as<std::vector<std::string>>()
                                                    : std::vector{shipped_weights()};
  const std::string split = options["split"].as<std::string>();
  const int samples = options["importance-samples"].as<int>();
  if (samples < 1) throw Error("--importance-samples must be 1 or more");
  if (options["batch-size"].as<int>() < 1) throw Error("--batch-size must be 1 or more");
  parse_subset(split);
  const Device device = device_from(options);
  const std::string json = options["json"].as<std::string>();
  if (!json.empty()) require_writable(json);
  const Dataset dataset = load_dataset(options["data"].as<std::string>());
  // Bad files show before the long part.
  for (const std::string& path : weights) require_image_size(Flow::load(path, device), dataset);
  std::vector<Row> rows;
  for (const std::string& path : weights) rows.push_back(evaluate_file(path, options, device, dataset));
  print_table(rows, split, samples);
  if (!json.empty()) write_json(json, rows, split, samples);
  return 0;
}

}  // namespace
}  // namespace flowsmith

int main(int argc, char** argv) {
  cxxopts::Options options("flow eval", "Scores images under trained flows: bits per dimension, times, parameters.\n");
  const std::string default_weights = flowsmith::kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", "Weight file; give several times, or separated by commas, for a table" + default_weights,
       cxxopts::value<std::vector<std::string>>())
      ("data", "Folder of IDX files, or a name below data/", cxxopts::value<std::string>()->default_value("mnist"))
      ("split", "test, val or train", cxxopts::value<std::string>()->default_value("test"))
      ("limit", "Score at most this many images; -1: all", cxxopts::value<std::int64_t>()->default_value("-1"))
      ("offset", "Leave out this many images first", cxxopts::value<std::int64_t>()->default_value("0"))
      ("importance-samples", "Noise samples per image", cxxopts::value<int>()->default_value("8"))
      ("batch-size", "Images per pass", cxxopts::value<int>()->default_value("64"))
      ("seed", "Of the noise, and of the split into train and val: that of the training run",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("json", "Also write the results to this file", cxxopts::value<std::string>()->default_value(""));
  // clang-format on
  flowsmith::add_device_options(options);
  return flowsmith::run_tool("flow eval", options, argc, argv, flowsmith::eval);
}
