// flowsmith sample: draws images or numbers from a trained flow.
#include "data/csv.h"
#include "data/npy.h"
#include "data/png.h"
#include "data/scatter.h"
#include "models/flow.h"
#include "models/interchange/checkpoints.h"
#include "tools/device_options.h"
#include "tools/files.h"
#include "tools/passes.h"
#include "tools/progress.h"
#include "tools/tool_list.h"
#include "tools/weights_option.h"

namespace flowsmith::core {
namespace {

constexpr int kMostSamples = 1'000'000;
constexpr int kPiece = 64;
constexpr int kImages = 64, kRows = 5000;  // drawn unless somebody says how many

/// Calls draw(piece) for pieces of `count` samples and returns all that they give.
template <class T, class Draw>
std::vector<T> draw_all(int count, SampleOptions piece, Draw&& draw) {
  std::vector<T> all;
  CountProgress progress("sampling", count);
  for (int done = 0; done < count; done += piece.count) {
    piece.first = std::uint32_t(done);
    piece.count = std::min(kPiece, count - done);
    const std::vector<T> some = draw(piece);
    all.insert(all.end(), some.begin(), some.end());
    progress.update(done + piece.count);
  }
  return all;
}

struct Outputs {
  std::string picture, npy, csv;
};

void sample_images(Flow& flow, int count, const SampleOptions& piece, const Outputs& outputs,
                   const cxxopts::ParseResult& options) {
  if (!outputs.csv.empty()) throw Error("--csv is for flows of numbers: write images with --npy");
  const MapShape shape = flow.data_shape(count);
  const GridOptions grid{
      .columns = options["columns"].as<int>(), .zoom = options["zoom"].as<int>(), .channels = shape.c};
  if (!outputs.picture.empty()) measure_grid(count, shape.h, shape.w, grid);
  const auto images = draw_all<std::uint8_t>(count, piece, [&](const SampleOptions& o) { return flow.sample(o); });
  if (!outputs.npy.empty()) {
    std::vector<std::int64_t> dims{count, shape.h, shape.w};
    if (shape.c > 1) dims.push_back(shape.c);
    write_npy<std::uint8_t>(outputs.npy, dims, images);
    std::printf("%s as an array: %s\n", counted(count, "sample").c_str(), shown(outputs.npy).c_str());
  }
  if (!outputs.picture.empty()) {
    write_png_grid(outputs.picture, images.data(), count, shape.h, shape.w, grid);
    std::printf("%s as a picture: %s\n", counted(count, "sample").c_str(), shown(outputs.picture).c_str());
  }
}

void sample_numbers(Flow& flow, int count, const SampleOptions& piece, const Outputs& outputs) {
  const bool plane = flow.dims() == 2;
  if (!plane && outputs.npy.empty() && outputs.csv.empty()) {
    throw Error("samples of " + std::to_string(flow.dims()) + " numbers have no picture: name --npy or --csv");
  }
  const auto values = draw_all<double>(count, piece, [&](const SampleOptions& o) { return flow.sample_numbers(o); });
  const MapShape shape = flow.data_shape(count);
  if (!outputs.npy.empty()) {
    std::vector<std::int64_t> dims{count, shape.c};
    if (shape.h * shape.w > 1) dims = {count, shape.h, shape.w, shape.c};
    write_npy<double>(outputs.npy, dims, values);
    std::printf("%s as an array: %s\n", counted(count, "sample").c_str(), shown(outputs.npy).c_str());
  }
  if (!outputs.csv.empty()) {
    write_csv(outputs.csv, values, flow.dims());
    std::printf("%s as a table: %s\n", counted(count, "sample").c_str(), shown(outputs.csv).c_str());
  }
  if (plane && !outputs.picture.empty()) {
    write_scatter(outputs.picture, values);
    std::printf("%s as a picture: %s\n", counted(count, "sample").c_str(), shown(outputs.picture).c_str());
  }
}

int sample(const cxxopts::ParseResult& options) {
  const std::string weights = weights_from(options);
  Flow flow = load_flow(weights, device_from(options));
  const int count = options.count("n") > 0 ? options["n"].as<int>() : flow.takes_images() ? kImages : kRows;
  if (count < 1 || count > kMostSamples) throw Error("-n must be 1 to " + std::to_string(kMostSamples));
  const SampleOptions piece{.seed = options["seed"].as<std::uint64_t>(),
                            .temperature = options["temperature"].as<Real>().value};
  const auto named = [&](const char* option, const std::string& otherwise) {
    return options.count(option) > 0 ? output_named(options[option].as<std::string>()) : otherwise;
  };
  const bool only_numbers = options.count("npy") + options.count("csv") > 0;
  const Outputs outputs{named("out", only_numbers ? "" : "samples.png"), named("npy", ""), named("csv", "")};
  for (const char* const name : {"columns", "zoom"}) {
    if (options.count(name) == 0 || (!outputs.picture.empty() && flow.takes_images())) continue;
    throw Error("--" + std::string(name) + " is for a picture of images: name its --out, or leave it out");
  }
  require_outputs({{"--weights", weights}},
                  {{"--out", outputs.picture}, {"--npy", outputs.npy}, {"--csv", outputs.csv}});
  require_kind({"--out", outputs.picture}, ".png");
  require_kind({"--npy", outputs.npy}, ".npy");
  require_kind({"--csv", outputs.csv}, ".csv");
  if (flow.takes_images()) {
    sample_images(flow, count, piece, outputs, options);
  } else {
    sample_numbers(flow, count, piece, outputs);
  }
  say_passes(flow);
  return 0;
}

}  // namespace

int sample_tool(int argc, char** argv) {
  cxxopts::Options options("flowsmith sample", "Draws images or numbers from a trained flow.\n");
  const std::string default_weights = kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", kWeightsHelp + default_weights, cxxopts::value<std::string>())
      ("n", "Number of samples (default: 64 images, or 5000 rows of numbers)", cxxopts::value<int>())
      ("seed", "Of the latents", cxxopts::value<std::uint64_t>()->default_value("42"))
      ("temperature", "Factor on the standard deviations of the base", cxxopts::value<Real>()->default_value("1.0"))
      ("out", "Picture of all samples (PNG): a grid of images, or points in the plane (default: samples.png, or none with --npy "
       "or --csv); - is stdout, here and below", cxxopts::value<std::string>())
      ("npy", "Array of the samples: uint8, n x height x width (x 3 in colour), or float64, n x d (default: none)",
       cxxopts::value<std::string>())
      ("csv", "Table of samples that are numbers (default: none)", cxxopts::value<std::string>())
      ("columns", "Samples per row of the picture", cxxopts::value<int>()->default_value("8"))
      ("zoom", "Enlarge each pixel of the picture this often", cxxopts::value<int>()->default_value("2"));
  // clang-format on
  add_device_options(options);
  return run_tool("flowsmith sample", options, argc, argv, sample);
}

}  // namespace flowsmith::core
