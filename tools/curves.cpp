// flowsmith curves: learning curves of one or several runs in one chart.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "models/runs/run_folder.h"
#include "tools/files.h"
#include "tools/pictures/curves_view.h"
#include "tools/tool.h"
#include "tools/tool_list.h"

namespace flowsmith::core {
namespace {

/// Of the folder of a run, or of a metrics.csv.
NamedMetrics metrics_named(const std::string& run) {
  std::error_code ignored;
  if (!std::filesystem::exists(run, ignored)) {
    throw Error(run + ": there is no such run: name the folder of a run, or a metrics.csv");
  }
  const bool folder = std::filesystem::is_directory(run, ignored);
  if (folder && !std::filesystem::exists(RunFolder(run).metrics(), ignored)) {
    throw Error(run + ": no folder of a run: it has no metrics.csv");
  }
  return {run, read_metrics(folder ? RunFolder(run).metrics() : run)};
}

/// The last part of each path, or the whole ones where two have the same.
std::vector<std::string> short_names(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const std::string& path : paths) {
    const std::filesystem::path whole = std::filesystem::path(path).lexically_normal();
    names.push_back((whole.has_filename() ? whole : whole.parent_path()).filename().string());
  }
  return std::set<std::string>(names.begin(), names.end()).size() == names.size() ? names : paths;
}

nlohmann::ordered_json json_of(const MetricCurve& curve) { return {{"steps", curve.steps}, {"values", curve.values}}; }

int draw_curves(const cxxopts::ParseResult& options) {
  if (options.count("runs") == 0) throw Error("name one or more runs: flowsmith curves runs/multiscale");
  const auto runs = options["runs"].as<std::vector<std::string>>();
  const std::string picture = output_from(options, "out", "curves.png"), json = output_from(options, "json", "");
  std::vector<NamedFile> inputs;
  for (const std::string& run : runs) inputs.push_back({"the run", run});
  require_outputs(inputs, {{"--out", picture}, {"--json", json}});
  require_figure({"--out", picture});
  require_kind({"--json", json}, ".json");
  std::vector<NamedMetrics> all;
  nlohmann::ordered_json numbers = nlohmann::ordered_json::array();
  for (const std::string& run : runs) {
    all.push_back(metrics_named(run));
    all.back().name = short_names(runs)[all.size() - 1];
    const RunMetrics& m = all.back().metrics;
    numbers.push_back({{"run", run},
                       {"unit", m.unit},
                       {"training", json_of(m.training)},
                       {"validation", json_of(m.validation)},
                       {"test", json_of(m.test)}});
  }
  write_figure(picture, curves_figure(all, options["log"].as<bool>()));
  std::printf("learning curves of %s as a picture: %s\n", counted(std::int64_t(runs.size()), "run").c_str(),
              shown(picture).c_str());
  if (!json.empty()) write_file_atomically(json, numbers.dump() + "\n");
  return 0;
}

}  // namespace

int curves_tool(int argc, char** argv) {
  cxxopts::Options options("flowsmith curves",
                           "Learning curves: training, validation and the closing test of one or several runs in one "
                           "chart.\n");
  // clang-format off
  options.add_options()
      ("runs", "Folders of runs, or their metrics.csv; also without --runs in front", cxxopts::value<std::vector<std::string>>())
      ("log", "A logarithmic axis for the scores, with the first steps on it (default: off)",
       cxxopts::value<bool>()->default_value("false"))
      ("out", "Chart (PNG or SVG); - is stdout, here and below", cxxopts::value<std::string>()->default_value("curves.png"))
      ("json", "All points of the curves (default: none)", cxxopts::value<std::string>());
  // clang-format on
  options.parse_positional({"runs"});
  options.positional_help("RUN...");
  return run_tool("flowsmith curves", options, argc, argv, draw_curves);
}

}  // namespace flowsmith::core
