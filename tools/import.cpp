// flowsmith import: the tutorial's checkpoints, of PyTorch or Flax, to weight files.
#include <set>

#include "data/checkpoint.h"
#include "models/files/weights.h"
#include "models/interchange/checkpoints.h"
#include "tools/files.h"
#include "tools/tool.h"
#include "tools/tool_list.h"

namespace flowsmith::core {
namespace {

int import_checkpoint(const cxxopts::ParseResult& options) {
  if (options.count("in") == 0 || options.count("out") == 0) {
    throw Error("two files are needed: flowsmith import IN.ckpt OUT.safetensors");
  }
  const std::string in = input_named(options["in"].as<std::string>());
  const std::string out = output_named(options["out"].as<std::string>());
  require_outputs({{"IN", in}}, {{"OUT", out}});
  require_kind({"OUT", out}, ".safetensors");
  Checkpoint checkpoint = read_checkpoint(in, options.count("key") > 0 ? options["key"].as<std::string>() : "");
  if (!checkpoint.others.empty()) {
    std::string others;
    for (const std::string& other : checkpoint.others) others += (others.empty() ? "" : ", ") + in_quotes(other);
    std::printf("took the weights under %s; --key takes those under %s\n", in_quotes(checkpoint.key).c_str(),
                others.c_str());
  }
  const SafetensorsFile file = weights_of(std::move(checkpoint));
  std::set<std::string> converted;
  for (const NamedTensor& tensor : file.tensors) {
    if (tensor.dtype.find('F') != std::string::npos && tensor.dtype != "F32") converted.insert(tensor.dtype);
  }
  for (const std::string& dtype : converted) std::printf("converted %s to F32\n", dtype.c_str());
  Flow flow = flow_for(file, in);
  load_weights(flow, file, in);
  flow.save(out);
  std::printf("%s, %zu parameters: %s\n", flow.config().name().c_str(), flow.parameters().element_count(),
              shown(out).c_str());
  return 0;
}

}  // namespace

int import_tool(int argc, char** argv) {
  cxxopts::Options options(
      "flowsmith import",
      "Converts a checkpoint of the tutorial, of PyTorch (Lightning) or of Flax (the JAX edition), to a "
      "weight file. Nothing in the checkpoint is executed.\n");
  // clang-format off
  options.add_options()
      ("in", "Checkpoint of PyTorch or Flax", cxxopts::value<std::string>())
      ("out", "Weight file to write", cxxopts::value<std::string>())
      ("key", "Take the weights under this key, where there are several sets, e.g. ema (default: state_dict or params, or what is likeliest)",
       cxxopts::value<std::string>());
  // clang-format on
  options.parse_positional({"in", "out"});
  options.positional_help("IN.ckpt OUT.safetensors");
  return run_tool("flowsmith import", options, argc, argv, import_checkpoint);
}

}  // namespace flowsmith::core
