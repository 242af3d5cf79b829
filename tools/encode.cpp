// flow-encode: images to all latents of a flow.
#include <numeric>

#include "data/npy.h"
#include "models/evaluation.h"
#include "models/latents_file.h"
#include "tools/device_options.h"
#include "tools/progress.h"
#include "tools/weights_option.h"

namespace flowsmith {
namespace {

constexpr std::size_t kPiece = 64;

struct Images {
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint32_t> index;
};

/// An array of shape N x H x W or N x 1 x H x W.
Images images_of_array(const std::string& path, const Flow& flow) {
  const NamedTensor array = read_npy(path);
  const std::int64_t h = flow.spec().height, w = flow.spec().width;
  const std::int64_t n = array.shape.empty() ? 0 : array.shape[0];
  const bool fits = array.dtype == "U8" && n > 0 &&
                    (array.shape == std::vector{n, h, w} || array.shape == std::vector<std::int64_t>{n, 1, h, w});
  if (!fits) {
    throw Error(path + ": holds " + array.dtype + " " + shape_text(array.shape) + ", expected uint8 images N x " +
                std::to_string(h) + " x " + std::to_string(w));
  }
  const std::span<const std::uint8_t> pixels = array.as<std::uint8_t>();
  Images images{{pixels.begin(), pixels.end()}, std::vector<std::uint32_t>(n)};
  std::iota(images.index.begin(), images.index.end(), 0u);
  return images;
}

Images images_of_dataset(const cxxopts::ParseResult& options, const Flow& flow) {
  const Subset subset = parse_subset(options["split"].as<std::string>());
  const Dataset dataset = load_dataset(options["data"].as<std::string>());
  require_image_size(flow, dataset);
  ImageSet set = select_images(dataset, subset, options["seed"].as<std::uint64_t>());
  set.restrict_to(options["offset"].as<std::int64_t>(), options["limit"].as<std::int64_t>());
  return {gather(set, flow.dims(), 0, set.index.size()), set.index};
}

int encode(const cxxopts::ParseResult& options) {
  if (options.count("out") == 0) throw Error("--out is missing: name the file for the latents");
  if (options.count("images") > 0 && options.count("split") > 0) throw Error("give --images or --split, not both");
  Flow flow = Flow::load(weights_from(options), device_from(options));
  const Images images = options.count("images") > 0 ? images_of_array(options["images"].as<std::string>(), flow)
                                                    : images_of_dataset(options, flow);
  const std::string out = options["out"].as<std::string>();
  require_writable(out);
  const NoiseStream noise{options["seed"].as<std::uint64_t>(), NoisePurpose::kScoring, 0};
  Latents latents;
  CountProgress progress("encoding", images.index.size());
  for (std::size_t begin = 0; begin < images.index.size(); begin += kPiece) {
    const std::size_t n = std::min(kPiece, images.index.size() - begin);
    Latents some = flow.encode({&images.pixels[begin * flow.dims()], &images.index[begin], int(n)}, {noise});
    if (latents.empty()) {
      latents = std::move(some);
    } else {
      for (std::size_t k = 0; k < latents.size(); ++k) {
        latents[k].values.insert(latents[k].values.end(), some[k].values.begin(), some[k].values.end());
      }
    }
    progress.update(begin + n);
  }
  write_safetensors(out, latents_to_file(flow, latents, int(images.index.size())));
  std::printf("%zu images encoded: %s\n", images.index.size(), out.c_str());
  return 0;
}

}  // namespace
}  // namespace flowsmith

int main(int argc, char** argv) {
  cxxopts::Options options("flow encode",
                           "Turns images into all latents of a flow; flow decode gives back the same images.\n");
  const std::string default_weights = flowsmith::kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", "Weight file" + default_weights, cxxopts::value<std::string>())
      ("images", "Images as an array (.npy, uint8, N x height x width)", cxxopts::value<std::string>())
      ("split", "Without --images: test, val or train of --data", cxxopts::value<std::string>()->default_value("test"))
      ("data", "Folder of IDX files, or a name below data/", cxxopts::value<std::string>()->default_value("mnist"))
      ("limit", "Encode at most this many images of the split; -1: all",
       cxxopts::value<std::int64_t>()->default_value("-1"))
      ("offset", "Leave out this many images of the split first", cxxopts::value<std::int64_t>()->default_value("0"))
      ("seed", "Of the noise, and of the split into train and val: that of the training run",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("out", "Latents (safetensors, F64 [N, C, H, W] each)", cxxopts::value<std::string>());
  // clang-format on
  flowsmith::add_device_options(options);
  return flowsmith::run_tool("flow encode", options, argc, argv, flowsmith::encode);
}
