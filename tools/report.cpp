// flowsmith report: one page about a training run.
#include "tools/pictures/report.h"

#include "tools/device_options.h"
#include "tools/files.h"
#include "tools/tool.h"
#include "tools/tool_list.h"

namespace flowsmith::core {
namespace {

int write_report(const cxxopts::ParseResult& options) {
  if (options.count("run") == 0) throw Error("name the folder of a run: flowsmith report runs/multiscale");
  const RunFolder folder(options["run"].as<std::string>());
  const std::string out = output_from(options, "out", folder.report());
  require_kind({"--out", out}, ".html");
  const ReportOptions wanted{options["examples"].as<int>(), options["seed"].as<std::uint64_t>()};
  if (wanted.examples < 2 || wanted.examples > 100000) throw Error("--examples must be 2 to 100000");
  const Device device = device_from(options);
  if (folder.holds_run()) require_outputs({}, {{"--out", out}});
  write_file_atomically(out, report_of(folder, device, wanted));
  std::printf("report: %s\n", shown(out).c_str());
  return 0;
}

}  // namespace

int report_tool(int argc, char** argv) {
  cxxopts::Options options(
      "flowsmith report",
      "One HTML file about a training run: what was trained, learning curve, results, samples through training, "
      "interpolation, latents, dequantization, where the score comes from, how the layers compute. It holds all of its "
      "pictures and needs no network.\n");
  // clang-format off
  options.add_options()
      ("run", "The folder of the run; also without --run in front", cxxopts::value<std::string>())
      ("out", "The page (default: report.html in the folder); - is stdout", cxxopts::value<std::string>())
      ("examples", "Of the test set, the first ones: what data are measured on", cxxopts::value<int>()->default_value("256"))
      ("seed", "Of noise and samples", cxxopts::value<std::uint64_t>()->default_value("42"));
  // clang-format on
  options.parse_positional({"run"});
  options.positional_help("RUN");
  add_device_options(options);
  return run_tool("flowsmith report", options, argc, argv, write_report);
}

}  // namespace flowsmith::core
