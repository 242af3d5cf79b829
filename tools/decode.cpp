// flowsmith decode: all latents of a flow back to images or numbers.
#include "data/npy.h"
#include "models/interchange/checkpoints.h"
#include "models/interchange/latents_file.h"
#include "tools/device_options.h"
#include "tools/files.h"
#include "tools/passes.h"
#include "tools/progress.h"
#include "tools/tool_list.h"
#include "tools/weights_option.h"

namespace flowsmith::core {
namespace {

constexpr int kPiece = 64;

int decode(const cxxopts::ParseResult& options) {
  for (const char* const name : {"latents", "out"}) {
    if (options.count(name) == 0) throw Error("--" + std::string(name) + " is missing: name a file");
  }
  const std::string weights = weights_from(options), path = input_named(options["latents"].as<std::string>());
  const std::string out = output_named(options["out"].as<std::string>());
  require_outputs({{"--weights", weights}, {"--latents", path}}, {{"--out", out}});
  require_kind({"--out", out}, ".npy");
  Flow flow = load_flow(weights, device_from(options));
  const LatentBatch batch = latents_from_file(flow, read_safetensors(path), path);
  std::vector<std::uint8_t> images;
  std::vector<double> values;
  CountProgress progress("decoding", batch.n);
  for (int begin = 0; begin < batch.n; begin += kPiece) {
    const int n = std::min(kPiece, batch.n - begin);
    Latents some;
    for (const Latent& z : batch.latents) {
      const std::size_t per_image = std::size_t(z.h) * z.w * z.c;
      const auto first = z.values.begin() + begin * per_image;
      some.push_back({z.name, z.h, z.w, z.c, {first, first + n * per_image}});
    }
    if (flow.takes_images()) {
      const std::vector<std::uint8_t> piece = flow.decode(some, n);
      images.insert(images.end(), piece.begin(), piece.end());
    } else {
      const std::vector<double> piece = flow.decode_numbers(some, n);
      values.insert(values.end(), piece.begin(), piece.end());
    }
    progress.update(begin + n);
  }
  const MapShape shape = flow.data_shape(batch.n);
  std::vector<std::int64_t> dims{batch.n};
  if (shape.h * shape.w > 1) dims.insert(dims.end(), {shape.h, shape.w});
  if (shape.c > 1 || dims.size() == 1) dims.push_back(shape.c);
  if (flow.takes_images()) {
    write_npy<std::uint8_t>(out, dims, images);
  } else {
    write_npy<double>(out, dims, values);
  }
  std::printf("%s decoded: %s\n", counted(batch.n, flow.takes_images() ? "image" : "row").c_str(), shown(out).c_str());
  say_passes(flow);
  return 0;
}

}  // namespace

int decode_tool(int argc, char** argv) {
  cxxopts::Options options("flowsmith decode", "Turns the latents of flowsmith encode back into what was encoded.\n");
  const std::string default_weights = kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", "Those that made the latents: a weight file, the folder of a run, or a name in data/weights" + default_weights, cxxopts::value<std::string>())
      ("latents", "Latents (safetensors)", cxxopts::value<std::string>())
      ("out", "What was encoded as an array (.npy): uint8, N x height x width (x 3 in colour), or float64, N x D", cxxopts::value<std::string>());
  // clang-format on
  add_device_options(options);
  return run_tool("flowsmith decode", options, argc, argv, decode);
}

}  // namespace flowsmith::core
