// flowsmith gradcheck: is every gradient right? Ops and whole flows against finite differences, fast devices against
// the reference.
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "models/gradient_suite.h"
#include "tools/device_options.h"
#include "tools/files.h"
#include "tools/table.h"
#include "tools/tool_list.h"

namespace flowsmith::core {
namespace {

/// Cases with more inputs than this (the parameters of a flow) print only the worst one and what failed.
constexpr std::size_t kMostRows = 10;

std::vector<GradientCase> selected_cases(Device device, const std::string& filter) {
  std::vector<GradientCase> cases = all_gradient_cases(device);
  std::erase_if(cases, [&](const GradientCase& c) { return c.name.find(filter) == std::string::npos; });
  if (cases.empty()) throw Error("no check has '" + filter + "' in its name: run without --filter to see all names");
  return cases;
}

bool passed(const GradientCase& gradient_case, const GradientCheck& check) {
  return check.error <= gradient_case.bound;
}

/// Whether the names of ops stand on lines of their own, as on a terminal that is too narrow for all in one line.
bool names_alone() {
  constexpr int kWidthOfAll = 133;
  return isatty(fileno(stdout)) && terminal_columns(stdout) < kWidthOfAll;
}

void print_row(const std::string& name, const std::string& input, const std::string& size, const std::string& error,
               const std::string& bound, const std::string& verdict) {
  if (names_alone()) {
    constexpr int kOthers = 38, kMost = 36;
    std::printf("  %-*s", std::min(kMost, terminal_columns(stdout) - kOthers), input.c_str());
  } else {
    std::printf("%-56s %-40s", name.c_str(), input.c_str());
  }
  std::printf(" %7s %9s %8s  %s\n", size.c_str(), error.c_str(), bound.c_str(), verdict.c_str());
}

void print_row(const GradientCase& gradient_case, const GradientCheck& check) {
  print_row(gradient_case.name, check.input, std::to_string(check.size), number_text("%.1e", check.error),
            number_text("%.0e", gradient_case.bound), passed(gradient_case, check) ? "ok" : "FAIL at " + check.where);
}

/// Runs a case, prints its rows, adds all of them to `json` and returns the number of inputs that failed.
std::size_t run_case(const GradientCase& gradient_case, std::size_t& inputs, nlohmann::ordered_json& json) {
  const std::vector<GradientCheck> checks = gradient_case.run();
  if (names_alone()) std::printf("%s\n", gradient_case.name.c_str());
  inputs += checks.size();
  for (const GradientCheck& check : checks) {
    json.push_back({{"op", gradient_case.name},
                    {"input", check.input},
                    {"size", check.size},
                    {"error", check.error},
                    {"bound", gradient_case.bound},
                    {"ok", passed(gradient_case, check)}});
  }
  const auto worst = std::max_element(checks.begin(), checks.end(),
                                      [](const GradientCheck& a, const GradientCheck& b) { return a.error < b.error; });
  std::size_t failures = 0;
  for (const GradientCheck& check : checks) {
    const bool ok = passed(gradient_case, check);
    failures += !ok;
    if (checks.size() <= kMostRows || !ok || &check == &*worst) print_row(gradient_case, check);
  }
  if (checks.size() > kMostRows) {
    std::printf("%-*s %zu inputs: the worst, and all that failed, are above\n", names_alone() ? 1 : 56,
                names_alone() ? "" : gradient_case.name.c_str(), checks.size());
  }
  return failures;
}

int gradcheck(const cxxopts::ParseResult& options) {
  const std::vector<GradientCase> cases = selected_cases(device_from(options), options["filter"].as<std::string>());
  const std::string path = options.count("json") > 0 ? output_named(options["json"].as<std::string>()) : "";
  require_outputs({}, {{"--json", path}});
  const auto start = std::chrono::steady_clock::now();
  print_row("Op", "Input", "Size", "Error", "Bound", "Verdict");
  std::size_t inputs = 0, failures = 0;
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const GradientCase& gradient_case : cases) {
    failures += run_case(gradient_case, inputs, json);
    std::fflush(stdout);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%zu gradients in %zu checks, %.1f s: ", inputs, cases.size(), seconds.count());
  if (failures == 0) {
    std::printf("all ok\n");
  } else {
    std::printf("%zu FAILED\n", failures);
  }
  if (!path.empty()) write_file_atomically(path, json.dump(2) + "\n");
  return failures == 0 ? 0 : 1;
}

}  // namespace

int gradcheck_tool(int argc, char** argv) {
  cxxopts::Options options(
      "flowsmith gradcheck",
      "Checks every gradient: ops and whole flows in f64 against finite differences, and those that "
      "--device computes in f32 against the f64 reference. Exit code 1 if any is wrong.\n");
  options.add_options()("filter",
                        "Run the checks that have this text in their name, e.g. conv, 'coupling channel', flow, "
                        "'cpu f32'",
                        cxxopts::value<std::string>()->default_value(""))(
      "json", "Also write the results to this file; - is stdout (default: none)", cxxopts::value<std::string>());
  add_device_options(options);
  return run_tool("flowsmith gradcheck", options, argc, argv, gradcheck);
}

}  // namespace flowsmith::core
