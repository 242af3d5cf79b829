// flowsmith eval: bits per dimension, or nats, of weights on a dataset, of images with importance sampling.
#include <nlohmann/json.hpp>
#include <optional>

#include "models/interchange/checkpoints.h"
#include "models/interchange/example_files.h"
#include "models/runs/evaluation.h"
#include "tools/dataset_option.h"
#include "tools/device_options.h"
#include "tools/files.h"
#include "tools/passes.h"
#include "tools/progress.h"
#include "tools/table.h"
#include "tools/tool_list.h"
#include "tools/weights_option.h"

namespace flowsmith::core {
namespace {

constexpr int kTimedBatch = 64;
constexpr int kTimingRepeats = 3;

struct Row {
  std::string weights;
  std::string model;
  Evaluation score;
  std::optional<double> batch_statistics;  ///< the score with them, if it was asked for
  std::optional<double> scoring_ms;
  std::optional<double> sampling_ms;  ///< not of weights whose samples are not finite
  std::size_t parameters;
};

/// Milliseconds of a call for a batch of kTimedBatch, or nothing on a device for tests, where that would take minutes:
/// one example shows, whose time is several times its share of a batch.
template <class Measure>
std::optional<double> timed(Flow& flow, Measure&& measure) {
  constexpr double kMostMs = 120e3;
  if (measure(flow, 1, 1) * kTimedBatch * (kTimingRepeats + 1) > kMostMs) return std::nullopt;
  return measure(flow, kTimedBatch, kTimingRepeats);
}

Row evaluate_file(const std::string& path, Flow flow, const cxxopts::ParseResult& options, const Dataset& dataset,
                  std::uint64_t split_seed, const std::string& images) {
  const std::uint64_t seed = options["seed"].as<std::uint64_t>();
  ExamplePiece brought;
  ExampleSet set;
  if (images.empty()) {
    require_fitting(flow, dataset);
    set = select_examples(dataset, parse_subset(options["split"].as<std::string>()), split_seed);
  } else {
    ExampleFiles files(images, flow, scale_from(options));
    say_note(files.note());
    brought = files.next(files.count());
    set = {&brought.pixels, brought.index, &brought.values};
  }
  naming_options("--offset and --limit",
                 [&] { set.restrict_to(options["offset"].as<std::int64_t>(), options["limit"].as<std::int64_t>()); });
  CountProgress progress("scoring " + path + ":", set.index.size());
  const EvaluationOptions evaluation{flow.takes_images() ? options["importance-samples"].as<int>() : 1,
                                     options["batch-size"].as<int>(),
                                     {seed, NoisePurpose::kScoring, 0}};
  const Evaluation score = evaluate(flow, set, evaluation, [&](double done) {
    progress.update(done);
    return true;
  });
  say_passes(flow, evaluation.batch_size);
  std::optional<double> batch_statistics;
  if (options["batch-statistics"].as<bool>()) batch_statistics = score_with_batch_statistics(flow, set, evaluation);
  std::optional<double> time_of_scoring, time_of_sampling;
  try {
    if (!options["no-timing"].as<bool>()) {
      time_of_scoring = timed(flow, scoring_ms);
      time_of_sampling = timed(flow, sampling_ms);
    }
  } catch (const NotFinite& error) {
    std::fprintf(stderr, "flowsmith eval: %s: samples: %s\n", path.c_str(), error.what());
  }
  return {path,
          flow.config().name(),
          score,
          batch_statistics,
          time_of_scoring,
          time_of_sampling,
          flow.parameters().element_count()};
}

void print_scores(const std::vector<Row>& rows, const std::string& split, int samples, const std::string& unit,
                  bool times) {
  const bool images = unit == "bits/dim";
  std::string what = split + " " + unit;
  if (images) what += " with " + counted(samples, "importance sample");
  if (times) what += ",\ntimes for a batch of " + std::to_string(kTimedBatch);
  std::printf("%s\n\n", what.c_str());
  std::vector<TableColumn> columns;
  std::vector<std::vector<std::string>> cells(rows.size());
  const auto add = [&](const TableColumn& column, auto&& cell) {
    columns.push_back(column);
    for (std::size_t i = 0; i < rows.size(); ++i) cells[i].push_back(cell(rows[i]));
  };
  const auto or_dash = [](const char* format, const std::optional<double>& value) {
    return value ? number_text(format, *value) : "-";
  };
  add({"Model", true}, [](const Row& row) { return row.model; });
  add({images ? "Images" : "Rows"}, [](const Row& row) { return std::to_string(row.score.examples); });
  add({images ? "Bits/dim" : "Nats"}, [](const Row& row) {
    // The error of one score alone is not known.
    const std::string error = row.score.examples > 1 ? number_text("%.4f", row.score.standard_error) : "-";
    return number_text("%.4f", row.score.score) + " +- " + error;
  });
  add({"One sample", false, 1}, [](const Row& row) { return number_text("%.4f", row.score.single_sample_score); });
  if (rows.front().batch_statistics) {
    add({"Batch statistics", false, 2}, [&](const Row& row) { return or_dash("%.4f", row.batch_statistics); });
  }
  if (times) {
    add({"Scoring", false, 4}, [&](const Row& row) { return or_dash("%.0f ms", row.scoring_ms); });
    add({"Sampling", false, 5}, [&](const Row& row) { return or_dash("%.0f ms", row.sampling_ms); });
  }
  add({"Parameters", false, 3}, [](const Row& row) { return std::to_string(row.parameters); });
  print_table(columns, cells);
  // Whole, so that they can be copied.
  std::printf("\n");
  for (const Row& row : rows) std::printf("%s: %s\n", row.model.c_str(), row.weights.c_str());
}

nlohmann::ordered_json or_null(const std::optional<double>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

void write_json(const std::string& path, const std::vector<Row>& rows, const std::string& split, int samples,
                const std::string& unit) {
  const bool images = unit == "bits/dim";
  nlohmann::ordered_json array = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    array.push_back(
        {{"weights", row.weights},
         {"model", row.model},
         {"split", split},
         {images ? "images" : "rows", row.score.examples},
         {"importance_samples", samples},
         {images ? "bits_per_dim" : "nats", row.score.score},
         {"standard_error", or_null(row.score.examples > 1 ? std::optional(row.score.standard_error) : std::nullopt)},
         {images ? "single_sample_bits_per_dim" : "single_sample_nats", row.score.single_sample_score},
         {"batch_statistics", or_null(row.batch_statistics)},
         {"scoring_ms_64", or_null(row.scoring_ms)},
         {"sampling_ms_64", or_null(row.sampling_ms)},
         {"parameters", row.parameters}});
  }
  write_file_atomically(path, array.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

int eval(const cxxopts::ParseResult& options) {
  const std::vector<std::string> weights = all_weights_from(options);
  const std::string split = options["split"].as<std::string>();
  const int samples = options["importance-samples"].as<int>();
  if (samples < 1) throw Error("--importance-samples must be 1 or more");
  if (options["batch-size"].as<int>() < 1) throw Error("--batch-size must be 1 or more");
  parse_subset(split);
  const Device device = device_from(options);
  const std::string json = options.count("json") > 0 ? output_named(options["json"].as<std::string>()) : "";
  scale_from(options);  // with its complaints
  require_alone(options, "images", {"split", "data", "noise"});
  const std::string images = options.count("images") > 0 ? input_named(options["images"].as<std::string>()) : "";
  std::vector<NamedFile> inputs{{"--images", images}};
  for (const std::string& path : weights) inputs.push_back({"--weights", path});
  require_outputs(inputs, {{"--json", json}});
  require_kind({"--json", json}, ".json");
  // Bad files show before the long part; the first weights say what data there should be.
  std::vector<Flow> flows;
  std::optional<Dataset> dataset;
  DatasetChoice choice;
  std::string unit;
  for (const std::string& path : weights) {
    flows.push_back(load_flow(path, device));
    const Flow& flow = flows.back();
    unit = unit.empty() ? flow.unit() : unit;
    if (!images.empty()) continue;
    if (!dataset) {
      choice = dataset_of(options, path, flow);
      DatasetOptions which = dataset_options(flow.config(), choice.source, choice.seed);
      which.standardize = false;  // the weights know the statistics
      if (options.count("noise") > 0) which.noise = options["noise"].as<Real>().value;
      dataset = load_dataset(which);
      say_note(dataset->note);
    }
    require_fitting(flow, *dataset);
  }
  std::vector<Row> rows;
  if (!images.empty() && weights.size() > 1 && images == "/dev/stdin") {
    throw Error("--images - can be read only once: give one --weights, or a file");
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    rows.push_back(
        evaluate_file(weights[i], std::move(flows[i]), options, dataset.value_or(Dataset{}), choice.seed, images));
  }
  const std::string what = images.empty() ? split : images;
  print_scores(rows, what, samples, unit, !options["no-timing"].as<bool>());
  if (!json.empty()) write_json(json, rows, what, samples, unit);
  return 0;
}

}  // namespace

int eval_tool(int argc, char** argv) {
  cxxopts::Options options("flowsmith eval",
                           "Scores a dataset under trained flows: bits per dimension or nats, times, parameters.\n");
  const std::string default_weights = kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", std::string(kWeightsHelp) + "; several, or several times, for a table" + default_weights,
       cxxopts::value<std::vector<std::string>>())
      ("data", "A dataset as flowsmith train takes it (default: what the first weights were trained on)",
       cxxopts::value<std::string>())
      ("noise", "Of a toy density (default: its own)", cxxopts::value<Real>())
      ("images", kExampleFilesHelp, cxxopts::value<std::string>())
      ("scale", kScaleHelp, cxxopts::value<int>())
      ("split", "Without --images: test, val or train", cxxopts::value<std::string>()->default_value("test"))
      ("limit", "Score at most this many examples; -1: all", cxxopts::value<std::int64_t>()->default_value("-1"))
      ("offset", "Leave out this many examples first", cxxopts::value<std::int64_t>()->default_value("0"))
      ("importance-samples", "Noise samples per image; numbers need none", cxxopts::value<int>()->default_value("8"))
      ("batch-size", "Examples per pass", cxxopts::value<int>()->default_value("64"))
      ("seed", "Of the noise; given, also of the split into train and val, which otherwise is that of the training run",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("batch-statistics", "Print a second score, with batch norms by the statistics of each batch as in training "
       "(default: off)", cxxopts::value<bool>()->default_value("false"))
      ("no-timing", "Leave out the times of scoring and sampling (default: off)",
       cxxopts::value<bool>()->default_value("false"))
      ("json", "Also write the results to this file; - is stdout (default: none)", cxxopts::value<std::string>());
  // clang-format on
  add_device_options(options);
  return run_tool("flowsmith eval", options, argc, argv, eval);
}

}  // namespace flowsmith::core
