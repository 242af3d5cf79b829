// flowsmith parity: replays training steps on given inputs, to hold the engine against another.
#include "models/interchange/parity.h"

#include "tools/device_options.h"
#include "tools/files.h"
#include "tools/progress.h"
#include "tools/tool_list.h"

namespace flowsmith::core {
namespace {

int parity(const cxxopts::ParseResult& options) {
  if (options.count("in") == 0 || options.count("out") == 0) {
    throw Error("two files are needed: flowsmith parity IN.safetensors OUT.safetensors");
  }
  const std::string in = input_named(options["in"].as<std::string>());
  const std::string out = output_named(options["out"].as<std::string>());
  require_outputs({{"IN", in}}, {{"OUT", out}});
  CountProgress progress("replaying step", 1);
  const SafetensorsFile result = replay(read_safetensors(in), in, device_from(options), [&](int done, int steps) {
    progress.set_total(steps);
    progress.update(done);
  });
  write_safetensors(out, result);
  std::printf("%s replayed: %s\n", counted(std::int64_t(result.find("loss")->as<float>().size()), "step").c_str(),
              shown(out).c_str());
  return 0;
}

}  // namespace

int parity_tool(int argc, char** argv) {
  cxxopts::Options options("flowsmith parity",
                           "Replays training steps on given images, noise and weights.\n\n"
                           "IN: metadata config (or model and edition of the tutorial), lr, clip_norm; the weights by "
                           "name; and either images U8 [S,B,C,H,W] with noise F32 of that shape (uniform "
                           "dequantization noise), or data F32 [S,B,D] or [S,B,H,W,C].\n\n"
                           "OUT: log_prob F32 [S,B], loss F32 [S], grad_norm F32 [S], z.final F32 [B,C,H,W] of the "
                           "first step, and the weights after S Adam steps.\n");
  // clang-format off
  options.add_options()
      ("in", "Input file", cxxopts::value<std::string>())
      ("out", "Output file", cxxopts::value<std::string>());
  // clang-format on
  add_device_options(options);
  options.parse_positional({"in", "out"});
  options.positional_help("IN.safetensors OUT.safetensors");
  return run_tool("flowsmith parity", options, argc, argv, parity);
}

}  // namespace flowsmith::core
