// flow-sample: draws images from a trained flow.
#include "data/npy.h"
#include "data/png.h"
#include "models/flow.h"
#include "tools/device_options.h"
#include "tools/progress.h"
#include "tools/weights_option.h"

namespace flowsmith {
namespace {

constexpr int kMostSamples = 1'000'000;
constexpr int kPiece = 64;

int sample(const cxxopts::ParseResult& options) {
  const int count = options["n"].as<int>();
  if (count < 1 || count > kMostSamples) throw Error("-n must be 1 to " + std::to_string(kMostSamples));
  Flow flow = Flow::load(weights_from(options), device_from(options));
  SampleOptions piece{.seed = options["seed"].as<std::uint64_t>(),
                      .temperature = options["temperature"].as<Real>().value};
  const MapShape shape = flow.image_shape(count);
  const std::string npy = options["npy"].as<std::string>(), out = options["out"].as<std::string>();
  const GridOptions grid{.columns = options["columns"].as<int>(), .zoom = options["zoom"].as<int>()};
  if (!npy.empty()) require_writable(npy);
  if (!out.empty()) {
    require_writable(out);
    measure_grid(count, shape.h, shape.w, grid);
  }
  std::vector<std::uint8_t> images;
  CountProgress progress("sampling", count);
  for (int done = 0; done < count; done += piece.count) {
    piece.first = std::uint32_t(done);
    piece.count = std::min(kPiece, count - done);
    const std::vector<std::uint8_t> some = flow.sample(piece);
    images.insert(images.end(), some.begin(), some.end());
    progress.update(done + piece.count);
  }

  if (!npy.empty()) {
    const std::int64_t dims[] = {count, shape.h, shape.w};
    write_npy<std::uint8_t>(npy, dims, images);
    std::printf("%d samples as an array: %s\n", count, npy.c_str());
  }
  if (!out.empty()) {
    write_png_grid(out, images.data(), count, shape.h, shape.w, grid);
    std::printf("%d samples as a picture: %s\n", count, out.c_str());
  }
  return 0;
}

}  // namespace
}  // namespace flowsmith

int main(int argc, char** argv) {
  using flowsmith::Real;
  cxxopts::Options options("flow sample", "Draws images from a trained flow.\n");
  const std::string default_weights = flowsmith::kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", "Weight file" + default_weights, cxxopts::value<std::string>())
      ("n", "Number of samples", cxxopts::value<int>()->default_value("64"))
      ("seed", "Of the latents", cxxopts::value<std::uint64_t>()->default_value("42"))
      ("temperature", "Standard deviation of the latents", cxxopts::value<Real>()->default_value("1.0"))
      ("out", "Picture of all samples in a grid (PNG)", cxxopts::value<std::string>()->default_value("samples.png"))
      ("npy", "Also write the samples to this array (uint8, n x height x width)",
       cxxopts::value<std::string>()->default_value(""))
      ("columns", "Samples per row of the picture", cxxopts::value<int>()->default_value("8"))
      ("zoom", "Enlarge each pixel of the picture this often", cxxopts::value<int>()->default_value("2"));
  // clang-format on
  flowsmith::add_device_options(options);
  return flowsmith::run_tool("flow sample", options, argc, argv, flowsmith::sample);
}
