// flow-decode: all latents of a flow back to images.
#include "data/npy.h"
#include "models/latents_file.h"
#include "tools/device_options.h"
#include "tools/progress.h"
#include "tools/weights_option.h"

namespace flowsmith {
namespace {

constexpr int kPiece = 64;

int decode(const cxxopts::ParseResult& options) {
  for (const char* const name : {"latents", "out"}) {
    if (options.count(name) == 0) throw Error("--" + std::string(name) + " is missing: name a file");
  }
  Flow flow = Flow::load(weights_from(options), device_from(options));
  const std::string path = options["latents"].as<std::string>();
  const LatentBatch batch = latents_from_file(flow, read_safetensors(path), path);
  const std::string out = options["out"].as<std::string>();
  require_writable(out);
  std::vector<std::uint8_t> images;
  CountProgress progress("decoding", batch.n);
  for (int begin = 0; begin < batch.n; begin += kPiece) {
    const int n = std::min(kPiece, batch.n - begin);
    Latents some;
    for (const Latent& z : batch.latents) {
      const std::size_t per_image = std::size_t(z.h) * z.w * z.c;
      const auto first = z.values.begin() + begin * per_image;
      some.push_back({z.name, z.h, z.w, z.c, {first, first + n * per_image}});
    }
    const std::vector<std::uint8_t> piece = flow.decode(some, n);
    images.insert(images.end(), piece.begin(), piece.end());
    progress.update(begin + n);
  }
  const std::int64_t dims[] = {batch.n, flow.spec().height, flow.spec().width};
  write_npy<std::uint8_t>(out, dims, images);
  std::printf("%d images decoded: %s\n", batch.n, out.c_str());
  return 0;
}

}  // namespace
}  // namespace flowsmith

int main(int argc, char** argv) {
  cxxopts::Options options("flow decode", "Turns the latents of flow encode back into the same images.\n");
  const std::string default_weights = flowsmith::kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", "Weight file that made the latents" + default_weights, cxxopts::value<std::string>())
      ("latents", "Latents (safetensors)", cxxopts::value<std::string>())
      ("out", "Images as an array (.npy, uint8, N x height x width)", cxxopts::value<std::string>());
  // clang-format on
  flowsmith::add_device_options(options);
  return flowsmith::run_tool("flow decode", options, argc, argv, flowsmith::decode);
}
