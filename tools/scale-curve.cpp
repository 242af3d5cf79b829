// flowsmith scale-curve: how a coupling's log-scale is bounded, f tanh(s / f) for several f.
#include <cmath>
#include <nlohmann/json.hpp>

#include "tools/files.h"
#include "tools/pictures/scale_curve_view.h"
#include "tools/tool.h"
#include "tools/tool_list.h"

namespace flowsmith::core {
namespace {

std::vector<double> parse_factors(const std::string& text) {
  constexpr std::size_t kMost = 12;
  const std::vector<double> factors = parse_numbers(
      "--factors", text, [](double f) { return f > 0; }, "write numbers above 0 as 0.5,1,2");
  if (factors.size() > kMost) throw Error("--factors: at most " + std::to_string(kMost) + " curves can be told apart");
  return factors;
}

int draw_scale_curves(const cxxopts::ParseResult& options) {
  const std::vector<double> factors = parse_factors(options["factors"].as<std::string>());
  const std::string picture = output_from(options, "out", "scale_curve.png"), json = output_from(options, "json", "");
  require_outputs({}, {{"--out", picture}, {"--json", json}});
  require_figure({"--out", picture});
  require_kind({"--json", json}, ".json");
  const std::vector<ScaleCurve> curves = scale_curves(factors);
  write_figure(picture, scale_curves_figure(curves));
  std::printf("%s as a picture: %s\n", counted(std::int64_t(factors.size()), "curve").c_str(), shown(picture).c_str());
  if (!json.empty()) {
    nlohmann::ordered_json numbers = nlohmann::ordered_json::array();
    for (const ScaleCurve& curve : curves) {
      numbers.push_back({{"f", curve.factor}, {"s", curve.s}, {"log_scale", curve.log_scale}});
    }
    write_file_atomically(json, numbers.dump() + "\n");
  }
  return 0;
}

}  // namespace

int scale_curve_tool(int argc, char** argv) {
  cxxopts::Options options(
      "flowsmith scale-curve",
      "How a coupling's log-scale is bounded: f tanh(s / f), s being what its network says and f a factor that is "
      "learned for each channel. Near 0 the log-scale is s, and it never leaves -f to f.\n");
  // clang-format off
  options.add_options()
      ("factors", "Values of f, a curve for each", cxxopts::value<std::string>()->default_value("0.5,1,2,4"))
      ("out", "Chart (PNG or SVG); - is stdout, here and below", cxxopts::value<std::string>()->default_value("scale_curve.png"))
      ("json", "The points of the curves (default: none)", cxxopts::value<std::string>());
  // clang-format on
  return run_tool("flowsmith scale-curve", options, argc, argv, draw_scale_curves);
}

}  // namespace flowsmith::core
