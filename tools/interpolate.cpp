// flowsmith interpolate: rows of images between pairs, by way of their latents.
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/npy.h"
#include "data/png.h"
#include "models/analysis/interpolation.h"
#include "models/interchange/checkpoints.h"
#include "tools/device_options.h"
#include "tools/examples_option.h"
#include "tools/files.h"
#include "tools/passes.h"
#include "tools/progress.h"
#include "tools/tool_list.h"
#include "tools/weights_option.h"

namespace flowsmith::core {
namespace {

constexpr int kMostImages = 100'000;  ///< in the picture

struct Pair {
  std::size_t from, to;
};

/// "0:1,2:3" as pairs of numbers of examples.
std::vector<Pair> parse_pairs(const std::string& text) {
  std::vector<Pair> pairs;
  for (const char *at = text.data(), *const end = text.data() + text.size();;) {
    Pair pair{};
    auto number = std::from_chars(at, end, pair.from);
    if (number.ec == std::errc() && number.ptr != end && *number.ptr == ':') {
      number = std::from_chars(number.ptr + 1, end, pair.to);
      if (number.ec == std::errc() && (number.ptr == end || *number.ptr == ',')) {
        pairs.push_back(pair);
        if (number.ptr == end) return pairs;
        at = number.ptr + 1;
        continue;
      }
    }
    throw Error("cannot read --pairs " + in_quotes(text, 60) + ": write numbers of images as 0:1,2:3");
  }
}

/// Neighbours, two by two.
std::vector<Pair> neighbours(std::size_t count) {
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i + 1 < count; i += 2) pairs.push_back({i, i + 1});
  return pairs;
}

void require_example(std::size_t number, std::size_t count) {
  if (number < count) return;
  throw Error("--pairs: there is no image " + std::to_string(number) + ": there are " + std::to_string(count) +
              ", counted from 0");
}

struct Plan {
  std::vector<Pair> pairs;
  int steps;
  InterpolationPath path;
  bool final_only;  ///< only the final latents are those of the pair; the others are drawn
};

/// Calls work(begin, n) for pieces of `count` images, with progress.
template <class Work>
void in_pieces(const char* what, int count, Work&& work) {
  constexpr int kPiece = 64;
  CountProgress progress(what, std::size_t(count));
  for (int begin = 0; begin < count; begin += kPiece) {
    const int n = std::min(kPiece, count - begin);
    work(begin, n);
    progress.update(std::size_t(begin + n));
  }
}

double norm(const Latent& latent, std::size_t example) {
  const std::size_t size = std::size_t(latent.h) * latent.w * latent.c;
  const std::span<const double> values = std::span(latent.values).subspan(example * size, size);
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

/// For each pair its steps: where they are, the norm of each latent and the bits/dim of the image.
nlohmann::ordered_json numbers_of(const Plan& plan, const ExamplePiece& ends, const Latents& latents,
                                  const std::vector<double>& bits) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (std::size_t p = 0; p < plan.pairs.size(); ++p) {
    nlohmann::ordered_json row{{"from", ends.index[2 * p]}, {"to", ends.index[2 * p + 1]}};
    for (int step = 0; step < plan.steps; ++step) {
      const std::size_t i = p * plan.steps + step;
      nlohmann::ordered_json point{{"t", double(step) / (plan.steps - 1)}, {"bits_per_dim", bits[i]}};
      for (const Latent& latent : latents) point["norms"][latent.name] = norm(latent, i);
      row["steps"].push_back(point);
    }
    rows.push_back(row);
  }
  return rows;
}

/// Keeps the two examples of each pair.
ExamplePiece pairs_of(const ExamplePiece& examples, const std::vector<Pair>& pairs, std::size_t dims) {
  ExamplePiece ends;
  for (const Pair& pair : pairs) {
    for (const std::size_t i : {pair.from, pair.to}) {
      require_example(i, examples.index.size());
      ends.pixels.insert(ends.pixels.end(), examples.pixels.begin() + std::ptrdiff_t(i * dims),
                         examples.pixels.begin() + std::ptrdiff_t((i + 1) * dims));
      ends.index.push_back(examples.index[i]);
    }
  }
  return ends;
}

int interpolate_images(const cxxopts::ParseResult& options) {
  const std::string images = images_from(options, {"split", "data"});
  const std::string weights = weights_from(options);
  const bool only_numbers = options.count("npy") + options.count("json") > 0;
  const std::string picture = output_from(options, "out", only_numbers ? "" : "interpolation.png"),
                    npy = output_from(options, "npy", ""), json = output_from(options, "json", "");
  require_outputs({{"--weights", weights}, {"--images", images}},
                  {{"--out", picture}, {"--npy", npy}, {"--json", json}});
  require_kind({"--out", picture}, ".png");
  require_kind({"--npy", npy}, ".npy");
  require_kind({"--json", json}, ".json");
  Plan plan{{},
            options["steps"].as<int>(),
            parse_interpolation_path(options["path"].as<std::string>()),
            options["mode"].as<std::string>() == "tutorial"};
  if (!plan.final_only && options["mode"].as<std::string>() != "exact") {
    throw Error("unknown --mode " + in_quotes(options["mode"].as<std::string>(), 40) + ": choose exact or tutorial");
  }
  if (plan.steps < 2 || plan.steps > 1000) throw Error("--steps must be 2 to 1000");
  if (options.count("pairs") > 0) plan.pairs = parse_pairs(options["pairs"].as<std::string>());

  Flow flow = load_flow(weights, device_from(options));
  if (!flow.takes_images()) {
    throw Error(weights +
                ": a flow of numbers, which has no images: flowsmith transform gives its latents, and takes them");
  }
  // Of a dataset only the images of the pairs are gathered, the first eight where no pairs are named.
  const auto choose = [&](ExampleSet& set) {
    if (plan.pairs.empty()) plan.pairs = neighbours(std::min<std::size_t>(8, set.index.size()));
    std::vector<std::uint32_t> chosen;
    for (Pair& pair : plan.pairs) {
      for (std::size_t* const number : {&pair.from, &pair.to}) {
        require_example(*number, set.index.size());
        chosen.push_back(set.index[*number]);
        *number = chosen.size() - 1;
      }
    }
    set.index = chosen;
  };
  const ExamplePiece examples = examples_from(options, images, weights, flow, choose);
  if (plan.pairs.empty()) plan.pairs = neighbours(examples.index.size());
  if (plan.pairs.empty()) throw Error("a pair is two images, and there is one: name more of them");
  if (plan.pairs.size() * plan.steps > kMostImages) {
    throw Error("pairs times steps are " + std::to_string(plan.pairs.size() * plan.steps) + " images: take at most " +
                std::to_string(kMostImages));
  }
  const ExamplePiece ends = pairs_of(examples, plan.pairs, flow.dims());
  const MapShape shape = flow.data_shape(int(plan.pairs.size()) * plan.steps);
  const GridOptions grid{.columns = plan.steps, .zoom = options["zoom"].as<int>(), .channels = shape.c};
  if (!picture.empty()) measure_grid(shape.n, shape.h, shape.w, grid);

  const std::uint64_t seed = options["seed"].as<std::uint64_t>();
  const Latents between =
      latents_between(flow, flow.encode(ends.batch(), {NoiseStream{seed, NoisePurpose::kScoring, 0}}),
                      int(plan.pairs.size()), {plan.steps, plan.path, plan.final_only, seed});
  std::vector<std::uint8_t> pixels;
  in_pieces("decoding", shape.n, [&](int begin, int n) {
    const std::vector<std::uint8_t> some = flow.decode(slice(between, std::size_t(begin), std::size_t(n)), n);
    pixels.insert(pixels.end(), some.begin(), some.end());
  });
  if (!npy.empty()) {
    std::vector<std::int64_t> dims{std::int64_t(plan.pairs.size()), plan.steps, shape.h, shape.w};
    if (shape.c > 1) dims.push_back(shape.c);
    write_npy<std::uint8_t>(npy, dims, pixels);
    std::printf("%s as an array: %s\n", counted(shape.n, "image").c_str(), shown(npy).c_str());
  }
  if (!json.empty()) {
    std::vector<std::uint32_t> index(shape.n);
    for (int i = 0; i < shape.n; ++i) index[i] = std::uint32_t(i);
    const Batch all{pixels.data(), index.data(), shape.n};
    std::vector<double> bits;
    in_pieces("scoring", shape.n, [&](int begin, int n) {
      const NoiseStream noise{seed, NoisePurpose::kScoring, 0};
      for (const double value : flow.log_prob(all.slice(flow.dims(), begin, n), {noise})) {
        bits.push_back(-value / flow.nats_per_unit());
      }
    });
    write_file_atomically(json, numbers_of(plan, ends, between, bits).dump(2) + "\n");
    std::printf("numbers of %s: %s\n", counted(shape.n, "image").c_str(), shown(json).c_str());
  }
  if (!picture.empty()) {
    write_png_grid(picture, pixels.data(), shape.n, shape.h, shape.w, grid);
    std::printf("%s of %d images as a picture: %s\n", counted(std::int64_t(plan.pairs.size()), "row").c_str(),
                plan.steps, shown(picture).c_str());
  }
  say_passes(flow);
  return 0;
}

}  // namespace

int interpolate_tool(int argc, char** argv) {
  cxxopts::Options options("flowsmith interpolate",
                           "Rows of images from one image to another, by way of their latents.\n\nexact goes from all "
                           "latents of the one to all of the other, so the ends are the images themselves. tutorial "
                           "goes from final latent to final latent and draws the others anew, as the tutorial does.\n");
  const std::string default_weights = kShippedWeightsHelp;
  // clang-format off
  options.add_options()
      ("weights", kWeightsHelp + default_weights, cxxopts::value<std::string>())
      ("pairs", "Numbers of images, FROM:TO,FROM:TO,... (default: 0:1,2:3,4:5,6:7, and of --images all)",
       cxxopts::value<std::string>())
      ("steps", "Images in a row, both ends included", cxxopts::value<int>()->default_value("8"))
      ("mode", "exact or tutorial", cxxopts::value<std::string>()->default_value("exact"))
      ("path", "linear or spherical", cxxopts::value<std::string>()->default_value("linear"))
      ("seed", "Of the noise and of latents that are drawn; given, also of the split into train and val, which otherwise is that "
       "of the training run", cxxopts::value<std::uint64_t>()->default_value("42"))
      ("out", "Picture with a row for each pair, PNG (default: interpolation.png, or none with --npy or --json); - is stdout, "
       "here and below", cxxopts::value<std::string>())
      ("npy", "Array of the images: uint8, pairs x steps x height x width (x 3 in colour) (default: none)",
       cxxopts::value<std::string>())
      ("json", "Of each image where it is, the norms of its latents and its bits/dim (default: none)",
       cxxopts::value<std::string>())
      ("zoom", "Enlarge each pixel of the picture this often", cxxopts::value<int>()->default_value("2"));
  // clang-format on
  add_example_options(options);
  add_device_options(options);
  return run_tool("flowsmith interpolate", options, argc, argv, interpolate_images);
}

}  // namespace flowsmith::core
