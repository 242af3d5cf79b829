#include "tools/pictures/explorer.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "models/analysis/interpolation.h"

namespace flowsmith::core {
namespace {

using nlohmann::json;

constexpr int kMostSamples = 8;
constexpr std::uint64_t kSeed = 42;  // that of flowsmith score
constexpr int kCells = 96;
constexpr double kLargest = 1e6;

const NoiseStream kNoise{kSeed, NoisePurpose::kScoring, 0};
constexpr std::uint32_t kFirst = 0;

const json& field(const json& asked, const char* key) {
  const auto found = asked.find(key);
  if (found == asked.end()) throw BadQuestion(std::string("the question has no ") + key);
  return *found;
}

double number(const json& value, const char* what, double low, double high) {
  const double number = value.is_number() ? value.get<double>() : NAN;
  if (!(number >= low && number <= high)) {
    throw BadQuestion(std::string(what) + " must be a number of " + std::to_string(low) + " to " +
                      std::to_string(high));
  }
  return number;
}

int whole(const json& value, const char* what, std::size_t count) {
  if (!value.is_number_integer() || !(value.get<double>() >= 0 && value.get<double>() < double(count))) {
    throw BadQuestion(std::string(what) + " must be a whole number of 0 to " + std::to_string(count - 1));
  }
  return value.get<int>();
}

std::vector<std::uint8_t> pixels(const json& value, std::size_t size) {
  if (!value.is_array() || value.size() != size) {
    throw BadQuestion("an image has " + std::to_string(size) + " pixels");
  }
  std::vector<std::uint8_t> image;
  for (const json& pixel : value) image.push_back(std::uint8_t(whole(pixel, "a pixel", 256)));
  return image;
}

Batch batch_of(const std::vector<std::uint8_t>& image) { return {image.data(), &kFirst, 1}; }

}  // namespace

Explorer::Explorer(Flow flow, ExamplePiece examples) : flow_(std::move(flow)), examples_(std::move(examples)) {
  if (flow_.takes_images()) return;
  if (!is_plane(flow_)) throw Error("the page is for flows of images and of the plane");
  square_ = square_of(examples_.values, 0.001);
}

json Explorer::answer(const std::string& question, const json& asked) {
  if (!asked.is_object()) throw BadQuestion("a question is a JSON object");
  const std::size_t size = flow_.dims();
  const auto image_of = [&](const char* key) { return pixels(field(asked, key), size); };
  const auto encoded = [&](const std::vector<std::uint8_t>& image) { return flow_.encode(batch_of(image), {kNoise}); };

  if (question == "info") {
    const MapShape s = flow_.data_shape(1);
    json latents = json::array();
    for (const auto& [name, shape] : flow_.latent_shapes()) {
      latents.push_back({{"name", name}, {"channels", shape.c}, {"rows", shape.h}, {"columns", shape.w}});
    }
    json layers = json::array();
    for (const Flow::LayerInfo& layer : flow_.layers()) layers.push_back(layer.name + ", " + layer.description);
    return {{"name", flow_.config().name()},
            {"kind", flow_.takes_images() ? "images" : "plane"},
            {"rows", s.h},
            {"columns", s.w},
            {"channels", s.c},
            {"latents", latents},
            {"layers", layers},
            {"examples", examples_.index.size()}};
  }
  if (flow_.takes_images() && question == "example") {
    if (examples_.index.empty()) throw BadQuestion("there are no examples here");
    const std::size_t first = std::size_t(whole(field(asked, "number"), "number", examples_.index.size())) * size;
    return {{"pixels", std::vector<std::uint8_t>(examples_.pixels.begin() + std::ptrdiff_t(first),
                                                 examples_.pixels.begin() + std::ptrdiff_t(first + size))}};
  }
  if (flow_.takes_images() && question == "score") {
    const std::vector<std::uint8_t> image = image_of("pixels");
    const int samples = int(number(field(asked, "samples"), "samples", 1, kMostSamples));
    const double log_prob = flow_.log_prob(batch_of(image), kNoise, samples)[0];
    return {{"bits_per_dim", -log_prob / flow_.nats_per_unit()},
            {"gradient", flow_.log_prob_gradient(batch_of(image), {kNoise})},
            {"pixels", flow_.decode(encoded(image), 1)}};
  }
  if (flow_.takes_images() && question == "sample") {
    const json& given = field(asked, "temperatures");
    const std::size_t latents = flow_.latent_shapes().size();
    if (!given.is_array() || given.size() != latents) {
      throw BadQuestion("there is one temperature for each of " + std::to_string(latents) + " latents");
    }
    std::vector<double> temperatures;
    for (const json& t : given) temperatures.push_back(number(t, "a temperature", 0, 10));
    const auto seed = std::uint64_t(whole(field(asked, "seed"), "seed", std::size_t{1} << 31));
    return {{"pixels", flow_.sample({.count = 1, .seed = seed, .temperatures = temperatures})}};
  }
  if (flow_.takes_images() && question == "between") {
    Latents a = encoded(image_of("a"));
    const Latents b = encoded(image_of("b"));
    const double t = number(field(asked, "t"), "t", 0, 1);
    for (std::size_t k = 0; k < a.size(); ++k) {
      std::vector<double> between(a[k].values.size());
      interpolate(between, a[k].values, b[k].values, t, InterpolationPath::kSpherical);
      a[k].values = between;
    }
    return {{"pixels", flow_.decode(a, 1)}};
  }
  if (flow_.takes_images() && question == "change") {
    Latents latents = encoded(image_of("pixels"));
    Latent& latent = latents[std::size_t(whole(field(asked, "latent"), "latent", latents.size()))];
    const int channel = whole(field(asked, "channel"), "channel", std::size_t(latent.c));
    const double by = number(field(asked, "by"), "by", -100, 100);
    for (std::size_t i = std::size_t(channel); i < latent.values.size(); i += std::size_t(latent.c)) {
      latent.values[i] += by;
    }
    return {{"pixels", flow_.decode(latents, 1)}};
  }
  if (!flow_.takes_images() && question == "density") {
    const PlaneDensity density = plane_density(flow_, square_, kCells);
    return {{"left", square_.left}, {"bottom", square_.bottom}, {"side", square_.side},
            {"cells", kCells},      {"values", density.values}, {"mass", density.mass}};
  }
  if (!flow_.takes_images() && question == "point") {
    const json& given = field(asked, "x");
    if (!given.is_array() || given.size() != 2) throw BadQuestion("x must be two numbers");
    const double x[] = {number(given[0], "x", -kLargest, kLargest), number(given[1], "x", -kLargest, kLargest)};
    const Batch batch{nullptr, &kFirst, 1, x};
    json steps = json::array();
    for (const Flow::LayerOutput& output : flow_.layer_outputs(batch, {kNoise})) steps.push_back(output.values);
    return {{"log_prob", flow_.log_prob(batch, {kNoise})[0]}, {"steps", steps}};
  }
  throw BadQuestion("nobody here answers " + in_quotes(question, 40));
}

}  // namespace flowsmith::core
