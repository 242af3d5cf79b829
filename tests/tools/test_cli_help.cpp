// What the executables say of themselves: --help, and the list of the flow script.
#include <map>
#include <sstream>

#include "tests/tools/cli_testing.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

const Arguments kAllTools{"train", "score",   "eval",        "sample", "encode", "decode",      "transform", "latents",
                          "masks", "ledger",  "dequant",     "health", "plane",  "scale-curve", "curves",    "report",
                          "movie", "explore", "interpolate", "info",   "import", "parity",      "gradcheck", "bench"};

/// The entries of a help text by option ("--lr", "-n"), each on one line.
std::map<std::string, std::string> options_of_help(const std::string& help) {
  std::map<std::string, std::string> options;
  std::istringstream lines(help.substr(help.find("Usage:")));
  std::string line, name;
  while (std::getline(lines, line)) {
    const std::size_t begin = line.find_first_not_of(' ');
    if (begin == std::string::npos) continue;
    if (begin <= 6 && line[begin] == '-') name = line.substr(begin, line.find_first_of(" ,", begin) - begin);
    if (!name.empty()) options[name] += (options[name].empty() ? "" : " ") + line.substr(begin);
    if (options.contains(name)) options[name].erase(options[name].find_last_not_of(' ') + 1);
  }
  return options;
}
TEST_CASE("every tool shows its options with their defaults", "[cli]") {
  const Workplace place;
  const std::string file;  // the value of options that name a file: there is no default
  const std::string shipped = "the multiscale flow of the repository";
  const std::map<std::string, std::map<std::string, std::string>> expected{
      {"train",
       {{"--model", "multiscale"},
        {"--config", file},
        {"--set", file},
        {"--edition", "2024"},
        {"--data", "the model's; mnist of the tutorial's"},
        {"--channels", "as they are"},
        {"--pad", "as they are"},
        {"--transpose", "off"},
        {"--standardize", "off"},
        {"--noise", "its own"},
        {"--epochs", "the model's; 200 of the tutorial's"},
        {"--max-minutes", "0"},
        {"--max-steps", "0"},
        {"--snapshot-seconds", "120"},
        {"--batch-size", "the model's; 128 of the tutorial's"},
        {"--lr", "the model's; 1e-3 of the tutorial's"},
        {"--lr-decay", "the model's; 0.99 of the tutorial's"},
        {"--clip-norm", "the model's; 1 of the tutorial's"},
        {"--seed", "42"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"},
        {"--out", "runs/MODEL, numbered if it is taken"},
        {"--json", "none"},
        {"--no-report", "off"},
        {"--frames", "0"},
        {"--resume", "the newest in runs, or of runs/MODEL with --model"},
        {"--couplings", "the model's"},
        {"--recompute", "off"}}},
      {"eval",
       {{"--weights", shipped},
        {"--data", "what the first weights were trained on"},
        {"--noise", "its own"},
        {"--batch-statistics", "off"},
        {"--no-timing", "off"},
        {"--images", ""},
        {"--scale", "none"},
        {"--split", "test"},
        {"--limit", "-1"},
        {"--offset", "0"},
        {"--importance-samples", "8"},
        {"--batch-size", "64"},
        {"--seed", "42"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"},
        {"--json", "none"}}},
      {"score",
       {{"--weights", shipped},
        {"--images", ""},
        {"--scale", "none"},
        {"--data", "what the weights were trained on"},
        {"--split", "test"},
        {"--limit", "-1"},
        {"--offset", "0"},
        {"--importance-samples", "8"},
        {"--seed", "42"},
        {"--details", "off"},
        {"--against", "none"},
        {"--out", "outliers.png with --against"},
        {"--csv", "-"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"}}},
      {"sample",
       {{"--weights", shipped},
        {"-n", "64 images, or 5000 rows of numbers"},
        {"--csv", "none"},
        {"--seed", "42"},
        {"--temperature", "1.0"},
        {"--out", "samples.png, or none with --npy or --csv"},
        {"--npy", "none"},
        {"--columns", "8"},
        {"--zoom", "2"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"}}},
      {"encode",
       {{"--weights", shipped},
        {"--images", file},
        {"--scale", "none"},
        {"--split", "test"},
        {"--data", "what the weights were trained on"},
        {"--limit", "-1"},
        {"--offset", "0"},
        {"--seed", "42"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"},
        {"--out", file}}},
      {"decode",
       {{"--weights", shipped},
        {"--latents", file},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"},
        {"--out", file}}},
      {"ledger",
       {{"--weights", shipped},
        {"--limit", "256"},
        {"--seed", "42"},
        {"--out", "ledger.png"},
        {"--json", "none"},
        {"--images", file},
        {"--scale", "none"},
        {"--split", "test"},
        {"--data", "what the weights were trained on"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"}}},
      {"dequant",
       {{"--weights", shipped},
        {"--quants", "8"},
        {"--prior", "uniform"},
        {"--limit", "256"},
        {"--seed", "42"},
        {"--out", "dequantization.png"},
        {"--json", "none"},
        {"--images", file},
        {"--scale", "none"},
        {"--split", "test"},
        {"--data", "what the weights were trained on"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"}}},
      {"health",
       {{"--weights", shipped},
        {"--limit", "64"},
        {"--seed", "42"},
        {"--out", "health.png"},
        {"--json", "none"},
        {"--images", file},
        {"--scale", "none"},
        {"--split", "test"},
        {"--data", "what the weights were trained on"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"}}},
      {"plane",
       {{"--weights", file},
        {"--limit", "5000"},
        {"--cells", "160"},
        {"--seed", "42"},
        {"--out", "plane.png"},
        {"--layers", "plane_layers.png"},
        {"--json", "none"},
        {"--images", file},
        {"--scale", "none"},
        {"--split", "test"},
        {"--data", "what the weights were trained on"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"}}},
      {"scale-curve", {{"--factors", "0.5,1,2,4"}, {"--out", "scale_curve.png"}, {"--json", "none"}}},
      {"curves", {{"--log", "off"}, {"--out", "curves.png"}, {"--json", "none"}}},
      {"explore",
       {{"--weights", shipped},
        {"--port", "0"},
        {"--open", "off"},
        {"--seed", "42"},
        {"--images", file},
        {"--scale", "none"},
        {"--split", "test"},
        {"--data", "what the weights were trained on"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"}}},
      {"movie", {{"--milliseconds", "100"}, {"--last-milliseconds", "2000"}, {"--out", "movie.png"}}},
      {"report",
       {{"--out", "report.html in the folder"},
        {"--examples", "256"},
        {"--seed", "42"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"}}},
      {"masks",
       {{"--weights", file},
        {"--model", "multiscale"},
        {"--config", file},
        {"--set", file},
        {"--edition", "2024"},
        {"--couplings", "the model's"},
        {"--height", "the model's"},
        {"--width", "the model's"},
        {"--channels", "the model's"},
        {"--out", "masks.png"},
        {"--json", "none"},
        {"--zoom", "4"}}},
      {"info",
       {{"--weights", file},
        {"--model", "multiscale"},
        {"--config", file},
        {"--set", file},
        {"--edition", "2024"},
        {"--couplings", "the model's"},
        {"--height", "the model's"},
        {"--width", "the model's"},
        {"--channels", "the model's"},
        {"--list", "off"},
        {"--reference", "off"},
        {"--json", "off"}}},
      {"transform",
       {{"--weights", file},
        {"--model", "multiscale"},
        {"--config", file},
        {"--set", file},
        {"--edition", "2024"},
        {"--couplings", "the model's"},
        {"--seed", "42"},
        {"--jitter", "0"},
        {"--inverse", "off"},
        {"--input", file},
        {"--out", file},
        {"--logdet", file},
        {"--save", file},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"}}},
      {"latents",
       {{"--weights", shipped},
        {"--keep", "final"},
        {"--rows", "3"},
        {"--columns", "8"},
        {"--temperature", "1.0"},
        {"--limit", "256"},
        {"--seed", "42"},
        {"--out", "latents.png, or none with --npy"},
        {"--histograms", "latent_histograms.png"},
        {"--npy", "none"},
        {"--json", "none"},
        {"--zoom", "2"},
        {"--images", file},
        {"--scale", "none"},
        {"--split", "test"},
        {"--data", "what the weights were trained on"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"}}},
      {"interpolate",
       {{"--weights", shipped},
        {"--pairs", "0:1,2:3,4:5,6:7, and of --images all"},
        {"--steps", "8"},
        {"--mode", "exact"},
        {"--path", "linear"},
        {"--seed", "42"},
        {"--out", "interpolation.png, or none with --npy or --json"},
        {"--npy", "none"},
        {"--json", "none"},
        {"--zoom", "2"},
        {"--images", file},
        {"--scale", "none"},
        {"--split", "test"},
        {"--data", "what the weights were trained on"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"}}},
      {"import", {{"--key", "state_dict or params, or what is likeliest"}}},
      {"parity",
       {{"--threads", "0"}, {"--nets", "fp32"}, {"--conv", "fused"}, {"--no-graph", "off"}, {"--device", "auto"}}},
      {"gradcheck",
       {{"--json", "none"},
        {"--filter", "\"\""},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--device", "auto"}}},
      {"bench",
       {{"--filter", "\"\""},
        {"--batch", "128"},
        {"--threads", "0"},
        {"--nets", "fp32"},
        {"--conv", "fused"},
        {"--no-graph", "off"},
        {"--repeats", "5"},
        {"--edition", "2024"},
        {"--device", "cpu"},
        {"--recompute", "off"},
        {"--growth", "off"},
        {"--json", "none"}}}};
  for (const std::string& tool : kAllTools) {
    INFO(tool);
    const std::string help = place.output_of(tool, {"--help"});
    CHECK(place.output_of(tool, {"-h"}) == help);
    CHECK_THAT(help, Contains("flowsmith " + tool + " [OPTION...]"));
    const auto options = options_of_help(help);
    CHECK(options.size() == expected.at(tool).size() + 2);  // and --help and --version
    for (const auto& [name, value] : expected.at(tool)) {
      INFO(name);
      REQUIRE(options.contains(name));
      if (value.empty()) {
        CHECK_THAT(options.at(name), !Contains("default"));
      } else {
        CHECK_THAT(options.at(name), Contains("(default: " + value + ")"));
      }
    }
  }
  CHECK(contents_of(place.dir().path()).empty());
}

TEST_CASE("manual pages and completions name every option", "[cli]") {
  const Workplace place;
  const auto count = [](const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
  };
  for (const std::string& tool : kAllTools) {
    INFO(tool);
    const auto options = options_of_help(place.output_of(tool, {"--help"}));
    const auto output = [&](const std::string& option) {
      const Outcome outcome = Program(Workplace::command(tool, {option}), place.dir().path()).wait();
      CHECK(outcome.code == 0);
      return outcome.out;
    };
    const std::string manual = output("--manual"), lines = output("--completions");
    CHECK_THAT(manual, Catch::StartsWith(".TH flowsmith\\-") && Contains(".SH SYNOPSIS\n.B flowsmith "));
    CHECK(count(manual, "\n.TP\n") == options.size());
    CHECK(count(lines, "\n") == options.size());
    CHECK_THAT(lines, Contains("--help\t"));
    // A line that begins with a point is a command of roff: these are all that there are.
    std::istringstream text(manual);
    for (std::string line; std::getline(text, line);) {
      if (line.starts_with(".")) CHECK((line.size() > 2 && std::isupper(static_cast<unsigned char>(line[1]))));
    }
  }
}

TEST_CASE("the program lists its tools, explains them and says what it is", "[cli]") {
  const Workplace place;
  const std::string program = Workplace::command("", {})[0];
  const auto output = [&](const Arguments& words) {
    const Outcome outcome = Program(Arguments{program} + words, place.dir().path()).wait();
    CHECK(outcome.code == 0);
    CHECK(outcome.err.empty());
    return outcome.out;
  };
  const std::string help = output({"--help"});
  CHECK(output({}) == help);
  CHECK(output({"help"}) == help);
  for (const std::string& tool : kAllTools) {
    CHECK_THAT(help, Contains("\n  " + tool + " "));
    CHECK_THAT(output({"--completions"}), Contains(tool + "\t"));
    CHECK_THAT(output({"--manual"}), Contains("flowsmith\\-"));
  }
  CHECK(output({"help", "sample"}) == place.output_of("sample", {"--help"}));
  CHECK_THAT(output({"--version"}), Catch::StartsWith("flowsmith 1.") && Contains("\ncompiler ") &&
                                        Contains("\ninstructions ") && Contains("\nCUDA "));
  CHECK_THAT(place.refusal_of_command({program, "trian"}, "flowsmith: "), Contains("'trian'") && Contains("--help"));
  CHECK_THAT(place.refusal_of_command({program, "help", "trian"}, "flowsmith: "), Contains("'trian'"));
}

TEST_CASE("the flow script lists the tools and refuses others", "[cli]") {
  const Workplace place;
  const std::string script = std::string(FLOWSMITH_SOURCE_DIR) + "/flow";
  const Outcome help = Program({script, "--help"}, place.dir().path()).wait();
  CHECK(help.code == 0);
  for (const std::string& tool : kAllTools) CHECK_THAT(help.out, Contains("\n  " + tool + " "));
  CHECK_THAT(place.refusal_of_command({script, "trian"}, "flow: "), Contains("'trian'") && Contains("--help"));
}

}  // namespace
}  // namespace flowsmith::core
