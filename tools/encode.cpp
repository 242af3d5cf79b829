// flowsmith encode: images or numbers to all latents of a flow.
#include <cmath>

#include "kernels/grey_levels.h"
#include "models/interchange/checkpoints.h"
#include "models/interchange/latents_file.h"
#include "tools/device_options.h"
#include "tools/examples_option.h"
#include "tools/files.h"
#include "tools/passes.h"
#include "tools/progress.h"
#include "tools/tool_list.h"
#include "tools/weights_option.h"

namespace flowsmith::core {
namespace {

constexpr std::size_t kPiece = 64;

/// What decoding gives instead of what was encoded, over all pieces.
struct Differences {
  std::size_t values = 0, wrong = 0;  ///< pixels, or numbers
};

/// Decodes the latents of a piece and compares. Pixels are to come back in
/// the grey level that the flow saw. Numbers are rounded in every
/// layer, and networks in fp32 steer them, but both ways alike: what is lost is far below this share of a number.
void compare(Flow& flow, const Latents& latents, const Batch& piece, Differences& differences) {
  constexpr double kTolerance = 1e-6;
  const std::size_t size = piece.n * flow.dims();
  differences.values += size;
  if (flow.takes_images()) {
    const int levels = flow.config().data().integer("levels");
    const std::vector<std::uint8_t> back = flow.decode(latents, piece.n);
    for (std::size_t i = 0; i < size; ++i) {
      differences.wrong += grey_level(back[i], levels) != grey_level(piece.pixels[i], levels);
    }
  } else {
    const std::vector<double> back = flow.decode_numbers(latents, piece.n);
    for (std::size_t i = 0; i < size; ++i) {
      const double x = piece.values[i];
      differences.wrong += !(std::abs(back[i] - x) <= kTolerance * (1 + std::abs(x)));
    }
  }
}

int encode(const cxxopts::ParseResult& options) {
  if (options.count("out") == 0) throw Error("--out is missing: name the file for the latents");
  const std::string images = images_from(options, {"split", "data", "limit", "offset"});
  const std::string weights = weights_from(options), out = output_named(options["out"].as<std::string>());
  require_outputs({{"--weights", weights}, {"--images", images}}, {{"--out", out}});
  require_kind({"--out", out}, ".safetensors");
  Flow flow = load_flow(weights, device_from(options));
  const ExamplePiece examples = examples_from(options, images, weights, flow, [&](ExampleSet& set) {
    naming_options("--offset and --limit",
                   [&] { set.restrict_to(options["offset"].as<std::int64_t>(), options["limit"].as<std::int64_t>()); });
  });
  const Batch all = examples.batch();
  const NoiseStream noise{options["seed"].as<std::uint64_t>(), NoisePurpose::kScoring, 0};
  Latents latents;
  Differences differences;
  CountProgress progress("encoding", examples.index.size());
  for (std::size_t begin = 0; begin < examples.index.size(); begin += kPiece) {
    const std::size_t n = std::min(kPiece, examples.index.size() - begin);
    const Batch piece = all.slice(flow.dims(), int(begin), int(n));
    Latents some = flow.encode(piece, {noise});
    try {
      compare(flow, some, piece, differences);
    } catch (const NotFinite& error) {
      throw Error("these latents would not decode; counted from example " + std::to_string(begin) + ": " +
                  error.what());
    }
    if (latents.empty()) {
      latents = std::move(some);
    } else {
      for (std::size_t k = 0; k < latents.size(); ++k) {
        latents[k].values.insert(latents[k].values.end(), some[k].values.begin(), some[k].values.end());
      }
    }
    progress.update(begin + n);
  }
  if (differences.wrong > 0) {
    throw Error(std::to_string(differences.wrong) + " of " + std::to_string(differences.values) +
                (flow.takes_images() ? " pixels" : " numbers") +
                " would not come back from these latents, so they were not written: the layers of these weights "
                "stretch more than doubles can undo; use an earlier checkpoint");
  }
  write_safetensors(out, latents_to_file(flow, latents, int(examples.index.size())));
  std::printf("%s encoded: %s\n", counted(all.n, flow.takes_images() ? "image" : "row").c_str(), shown(out).c_str());
  say_passes(flow);
  return 0;
}

}  // namespace

int encode_tool(int argc, char** argv) {
  cxxopts::Options options("flowsmith encode",
                           "Turns images, or numbers, into all latents of a flow; flowsmith decode gives them back.\n");
  const std::string default_weights = kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", kWeightsHelp + default_weights, cxxopts::value<std::string>())
      ("limit", "Encode at most this many examples of the split; -1: all",
       cxxopts::value<std::int64_t>()->default_value("-1"))
      ("offset", "Leave out this many examples of the split first", cxxopts::value<std::int64_t>()->default_value("0"))
      ("seed", "Of the noise; given, also of the split into train and val, which otherwise is that of the training run",
       cxxopts::value<std::uint64_t>()->default_value("42"))
      ("out", "Latents (safetensors, F64 [N, C, H, W] each)", cxxopts::value<std::string>());
  // clang-format on
  add_example_options(options);
  add_device_options(options);
  return run_tool("flowsmith encode", options, argc, argv, encode);
}

}  // namespace flowsmith::core
