#include "tools/pictures/report.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/text.h"
#include "models/analysis/interpolation.h"
#include "models/json.h"
#include "models/runs/evaluation.h"
#include "tools/pictures/curves_view.h"
#include "tools/pictures/dequantization_view.h"
#include "tools/pictures/health_view.h"
#include "tools/pictures/latents_view.h"
#include "tools/pictures/ledger_view.h"
#include "tools/pictures/masks_view.h"
#include "tools/pictures/page.h"
#include "tools/pictures/plane_view.h"
#include "tools/pictures/scale_curve_view.h"
#include "tools/progress.h"
#include "tools/table.h"

namespace flowsmith::core {
namespace {

constexpr int kRowOfImages = 10;
constexpr std::uint64_t kLargestPicture = std::uint64_t{4} << 20;
constexpr std::size_t kBytesOfFrames = std::size_t{2} << 20, kMostFrames = 24;

/// What a page is made of.
struct Material {
  const RunFolder& folder;
  RunConfig config;
  RunMetrics metrics;
  nlohmann::ordered_json results;  ///< empty if the run has none yet
  Flow flow;
  Dataset dataset;
  ExamplePiece test;  ///< the first of the test set
  ReportOptions options;

  bool images() const { return flow.takes_images(); }
  std::string name() const {
    const auto path = std::filesystem::path(folder.path()).lexically_normal();
    return path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
  }
};

ExamplePiece first_examples(const Flow& flow, ExampleSet set, int count) {
  set.restrict_to(0, count);
  GatheredBatch batch = gather_batch(flow, set, 0, set.index.size());
  return {std::move(batch.pixels), std::move(batch.values), set.index, {}};
}

Material material_of(const RunFolder& folder, Device device, const ReportOptions& options) {
  if (!folder.holds_run()) throw Error(folder.path() + ": no folder of a run: name one that flowsmith train wrote");
  std::error_code ignored;
  const bool best = std::filesystem::exists(folder.best(), ignored);
  RunConfig config = folder.read_config();
  Flow flow = Flow::load(best ? folder.best() : folder.last(), device);
  DatasetOptions which = dataset_options(flow.config(), config.data, config.training.seed);
  which.standardize = false;  // the weights know the statistics
  which.noise = config.noise;
  Dataset dataset = load_dataset(which);
  require_fitting(flow, dataset);
  ExamplePiece test =
      first_examples(flow, select_examples(dataset, Subset::kTest, config.training.seed), options.examples);
  nlohmann::ordered_json results;
  if (std::filesystem::exists(folder.results(), ignored)) {
    results = parse_json(read_text_file(folder.results(), 1 << 20));
  }
  RunMetrics metrics = read_metrics(folder.metrics());
  return {folder,          std::move(config),  std::move(metrics), std::move(results),
          std::move(flow), std::move(dataset), std::move(test),    options};
}

// --- what was trained ---

/// The seconds that the steps took, by their speeds.
double seconds_of(const Material& m) {
  double seconds = 0;
  for (const double speed : m.metrics.speed.values) {
    if (speed > 0) seconds += m.config.training.batch_size / speed;
  }
  return seconds;
}

void add_summary(const Material& m, Page& page) {
  page.section("run", "What was trained");
  const TrainingOptions& t = m.config.training;
  const double steps = m.metrics.training.steps.empty() ? 0 : m.metrics.training.steps.back();
  std::vector<std::pair<std::string, std::string>> rows;
  const auto add = [&](const std::string& key, const std::string& value) {
    if (!value.empty()) rows.push_back({key, value});
  };
  add("Model", m.flow.config().name());
  add("Parameters", std::to_string(m.flow.parameters().element_count()));
  add("Data", m.config.data + ", " + std::to_string(m.dataset.train.count) + " for training and validation");
  add("Shape of an example", map_text(m.flow.data_shape(1)));
  add("Steps", number_text("%.0f", steps) + " of " + std::to_string(t.batch_size) + " examples, of " +
                   counted(t.epochs, "epoch") + " in all");
  add("Learning rate", number_text("%g", t.lr) + ", times " + number_text("%g", t.lr_decay) + " each epoch");
  add("Gradient clipped at", number_text("%g", t.clip_norm));
  add("Seed", std::to_string(t.seed));
  if (!m.metrics.speed.values.empty()) add("Time of its steps", clock_text(seconds_of(m)));
  add("Device of the last ones",
      m.results.contains("device") && m.results["device"].is_string() ? m.results["device"].get<std::string>() : "");
  add("Program", m.config.version);
  add("Command", m.config.command);
  page.facts(rows);
}

/// Test scores that the tutorial prints for its models, bits/dim.
std::optional<double> score_of_tutorial(const std::string& model) {
  const std::map<std::string, double> scores{{"simple", 1.078}, {"vardeq", 1.043}, {"multiscale", 1.020}};
  const auto found = scores.find(model);
  return found == scores.end() ? std::nullopt : std::optional(found->second);
}

void add_results(const Material& m, Page& page) {
  page.section("results", "Results");
  std::vector<std::vector<std::string>> rows{{"Set", m.metrics.unit, "Examples"}};
  const auto add = [&](const char* set, const std::string& key) {
    const auto found = m.results.find(key + (m.images() ? "_bpd" : "_nats"));
    if (found == m.results.end() || !found->is_object()) return;
    const auto number = [&](const char* name) {
      const auto value = found->find(name);
      return value != found->end() && value->is_number() ? value->get<double>() : NAN;
    };
    rows.push_back({set, decimals(number("mean")) + " +- " + decimals(number("standard_error")),
                    number_text("%.0f", number("examples")) + " of " + number_text("%.0f", number("of"))});
  };
  if (m.results.is_object()) {
    add("validation", "val");
    add("test", "test");
  }
  if (const auto theirs = score_of_tutorial(m.flow.config().name()); theirs && m.dataset.name == "mnist") {
    rows.push_back({"test, as the tutorial prints it (200 epochs)", number_text("%.3f", *theirs), "10000"});
  }
  if (rows.size() > 1) {
    page.table(rows);
    if (m.images()) {
      page.paragraph(
          "Scores of a run are taken with one sample of noise for each image, an upper bound. The tutorial's "
          "are with several: flowsmith eval takes 8, which gives about 0.015 bits/dim less.");
    }
  } else {
    page.paragraph("The run has no closing scores yet.");
  }
}

void add_curves(const Material& m, Page& page) {
  if (m.metrics.training.values.empty()) return;
  page.section("curves", "Learning curve");
  const std::vector<NamedMetrics> runs{{m.name(), m.metrics}};
  const Figure linear = curves_figure(runs, false);
  const auto positive = [](const MetricCurve& curve) {
    return std::all_of(curve.values.begin(), curve.values.end(), [](double v) { return v > 0; });
  };
  if (positive(m.metrics.training) && positive(m.metrics.validation) && positive(m.metrics.test)) {
    page.figure_choice("scale", "linear", linear, "logarithmic", curves_figure(runs, true));
  } else {
    page.figure(linear);
  }
}

// --- what it draws ---

void add_frames(const Material& m, Page& page) {
  std::vector<std::filesystem::path> files;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(m.folder.path() + "/samples", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step_") && name.ends_with(".png") && entry.is_regular_file(ignored) &&
        entry.file_size(ignored) <= kLargestPicture) {
      files.push_back(entry.path());
    }
  }
  if (files.empty()) return;
  std::sort(files.begin(), files.end());
  std::size_t bytes = 0;
  for (const auto& file : files) bytes += std::size_t(std::filesystem::file_size(file, ignored));
  const std::size_t affordable =
      std::max<std::size_t>(1, kBytesOfFrames * files.size() / std::max<std::size_t>(bytes, 1));
  const std::size_t count = std::min({files.size(), kMostFrames, affordable});
  std::vector<Page::Frame> frames;
  for (std::size_t k = 0; k < count; ++k) {
    const auto& file = files[count == 1 ? files.size() - 1 : k * (files.size() - 1) / (count - 1)];
    const std::string number = file.stem().string().substr(5);
    const std::size_t first = std::min(number.find_first_not_of('0'), number.size() - 1);
    frames.push_back({read_file(file.string(), kLargestPicture), "step " + number.substr(first)});
  }
  page.section("samples", "Samples through training");
  page.paragraph("The same noise at each of these steps.");
  page.slider(frames, "samples of the flow");
}

std::vector<std::byte> grid_of(const Material& m, const std::vector<std::uint8_t>& pixels, int columns) {
  const MapShape s = m.flow.data_shape(1);
  const int n = int(pixels.size() / s.size());
  const int zoom = std::max(1, 56 / std::max(s.h, s.w));
  return encode_png(make_grid(pixels.data(), n, s.h, s.w, {.columns = columns, .zoom = zoom, .channels = s.c}));
}

void add_interpolation(Material& m, Page& page) {
  constexpr int kSteps = 8;
  const int pairs = std::min<int>(4, int(m.test.index.size()) / 2);
  if (pairs == 0) return;
  const Batch ends = m.test.batch().slice(m.flow.dims(), 0, 2 * pairs);
  const Latents between =
      latents_between(m.flow, m.flow.encode(ends, {NoiseStream{m.options.seed, NoisePurpose::kScoring, 0}}), pairs,
                      {kSteps, InterpolationPath::kSpherical, false, m.options.seed});
  page.section("interpolation", "From one image to another");
  page.paragraph(
      "Each row begins and ends with an image of the test set; between them are images of the latents on an "
      "arc between theirs.");
  page.picture(grid_of(m, m.flow.decode(between, pairs * kSteps), kSteps),
               counted(pairs, "row") + " of images, from one image of the test set to another");
}

void add_latents(Material& m, Page& page) {
  page.section("latents", "What each scale holds");
  const std::size_t count = m.flow.latent_shapes().size();
  if (m.images()) {
    constexpr int kRows = 3, kColumns = 8;
    for (std::size_t kept = count; kept-- > 0;) {
      if (count > 1 && kept + 1 != count && kept != 0) continue;
      Latents drawn = m.flow.draw_latents({.count = kRows * kColumns, .seed = m.options.seed});
      if (count > 1) share_in_rows(drawn, kept, kColumns);
      page.paragraph(count == 1 ? "Samples:"
                                : "The samples of a row share " + m.flow.latent_shapes()[kept].first +
                                      "; what else they are made of is drawn anew.");
      page.picture(grid_of(m, m.flow.decode(drawn, kRows * kColumns), kColumns),
                   "samples whose rows share " + m.flow.latent_shapes()[kept].first);
    }
  }
  page.paragraph("Training is to turn data into a standard normal. How near it came:");
  page.figure(latents_figure(latents_of_data(m.flow, m.test, m.options.seed)));
}

double squared_distance(const std::uint8_t* a, const std::uint8_t* b, std::size_t size) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const int difference = int(a[i]) - int(b[i]);
    sum += difference * difference;
  }
  return double(sum);
}

/// Of each of n images the nearest training image, and the root mean square of their differences, in grey levels.
std::pair<std::vector<std::uint8_t>, double> nearest_of(const Material& m, const std::uint8_t* images, int n) {
  const std::size_t size = m.flow.dims();
  const ExampleSet train = select_examples(m.dataset, Subset::kTrain, m.config.training.seed);
  std::vector<std::uint8_t> nearest;
  double mean = 0;
  for (int i = 0; i < n; ++i) {
    const std::uint8_t* const image = images + std::size_t(i) * size;
    double least = INFINITY;
    const std::uint8_t* found = nullptr;
    for (const std::uint32_t index : train.index) {
      const std::uint8_t* const other = train.pixels->data() + std::size_t(index) * size;
      const double distance = squared_distance(image, other, size);
      if (distance < least) {
        least = distance;
        found = other;
      }
    }
    nearest.insert(nearest.end(), found, found + size);
    mean += std::sqrt(least / double(size)) / n;
  }
  return {nearest, mean};
}

void add_nearest(Material& m, Page& page) {
  const int n = std::min<int>(kRowOfImages, int(m.test.index.size()));
  std::vector<std::uint8_t> images = m.flow.sample({.count = n, .seed = m.options.seed});
  const auto [of_samples, distance] = nearest_of(m, images.data(), n);
  const double of_test = nearest_of(m, m.test.pixels.data(), n).second;
  images.insert(images.end(), of_samples.begin(), of_samples.end());
  page.section("nearest", "Does it copy?");
  page.paragraph("Samples above, below each the training image that is nearest to it, pixel by pixel.");
  page.picture(grid_of(m, images, n), "samples, and the nearest training image of each");
  page.paragraph("They are " + number_text("%.1f", distance) + " grey levels apart (root mean square, mean of " +
                 std::to_string(n) + "); test images, which nobody copied, are " + number_text("%.1f", of_test) +
                 " apart from theirs. A flow that copies is far below that.");
}

void add_likeliest(Material& m, Page& page) {
  const Batch batch = m.test.batch();
  std::vector<double> scores;
  CountProgress progress("scoring", m.test.index.size());
  for (int begin = 0; begin < batch.n; begin += Flow::kInferenceBatch) {
    const int n = std::min(Flow::kInferenceBatch, batch.n - begin);
    const NoiseStream noise{m.options.seed, NoisePurpose::kScoring, 0};
    for (const double nats : m.flow.log_prob(batch.slice(m.flow.dims(), begin, n), {noise})) {
      scores.push_back(-nats / m.flow.nats_per_unit());
    }
    progress.update(begin + n);
  }
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  const std::size_t n = std::min<std::size_t>(kRowOfImages, order.size() / 2);
  if (n == 0) return;
  std::vector<std::uint8_t> images;
  const auto add = [&](std::size_t i) {
    const auto first = m.test.pixels.begin() + std::ptrdiff_t(i * m.flow.dims());
    images.insert(images.end(), first, first + std::ptrdiff_t(m.flow.dims()));
  };
  for (std::size_t k = 0; k < n; ++k) add(order[k]);
  for (std::size_t k = 0; k < n; ++k) add(order[order.size() - n + k]);
  page.section("likeliest", "The likeliest and the least likely");
  page.paragraph("Of the first " + std::to_string(order.size()) + " test images those with the best scores above, " +
                 decimals(scores[order.front()]) + " bits/dim and more, and those with the worst below, up to " +
                 decimals(scores[order.back()]) +
                 ". What is simple is likely: a score says little of what an image "
                 "shows.");
  page.picture(grid_of(m, images, int(n)), "the likeliest test images above, the least likely below");
}

// --- how it computes ---

void add_dequantization(Material& m, Page& page) {
  page.section("dequantization", "Dequantization");
  page.paragraph(
      "Noise spreads each grey level over a piece of the real line; a flow that shapes its noise chooses "
      "where.");
  const DequantizedPixels pixels = dequantized_pixels(m.flow, m.test, m.options.seed);
  page.figure(dequantization_figure({}, &pixels));
}

void add_masks(Material& m, Page& page) {
  const MaskPictures masks = pictures_of_masks(m.flow);
  if (masks.masks.empty()) return;
  page.section("masks", "What couplings let through");
  page.paragraph(
      "A row for each coupling, a column for each channel: white passes unchanged and steers the others, dark "
      "is transformed.");
  const int count = int(masks.masks.size()) * masks.columns;
  page.picture(encode_png(make_grid(tiles_of(masks).data(), count, masks.side, masks.side,
                                    {.columns = masks.columns, .zoom = std::max(1, 28 / masks.side)})),
               counted(std::int64_t(masks.masks.size()), "mask") + " as tiles of white and dark");
}

/// Where couplings have learned factors, their bounds for the smallest, the middle and the largest of all.
void add_scale_curves(Material& m, Page& page) {
  const std::string key = ".scaling_factor";
  std::vector<double> factors;
  const Parameters& parameters = m.flow.parameters();
  for (int i = 0; i < parameters.count(); ++i) {
    if (!parameters[i].name.ends_with(key)) continue;
    std::vector<float> logs(parameters[i].shape.size());
    parameters.to_file_order(parameters.values(), i, logs.data());
    for (const float log_factor : logs) factors.push_back(std::exp(double(log_factor)));
  }
  if (factors.empty()) return;
  std::sort(factors.begin(), factors.end());
  page.section("bounds", "How far couplings may stretch");
  page.paragraph("What a network says is bounded by a factor that is learned for each channel. Of " +
                 std::to_string(factors.size()) + " factors the smallest, the middle one and the largest:");
  page.figure(scale_curves_figure(scale_curves({factors.front(), factors[factors.size() / 2], factors.back()})));
}

void add_ledger(Material& m, Page& page) {
  page.section("ledger", "Where the score comes from");
  const std::vector<LedgerLine> lines = mean_ledger(m.flow, m.test, m.options.seed);
  page.paragraph("The parts of the score, mean of " + counted(std::int64_t(m.test.index.size()), "test example") +
                 ". They add up to " + decimals(ledger_total(lines)) + " " + m.flow.unit() + ".");
  page.figure(ledger_figure(lines, m.flow.unit()));
}

void add_health(Material& m, Page& page) {
  constexpr int kExamples = 64;
  page.section("health", "How the layers compute");
  const Batch batch = m.test.batch();
  const std::vector<Flow::LayerHealth> layers =
      m.flow.layer_health(batch.slice(m.flow.dims(), 0, std::min(batch.n, kExamples)),
                          {NoiseStream{m.options.seed, NoisePurpose::kScoring, 0}});
  std::vector<std::vector<std::string>> rows{
      {"Layer", "What", "Round trip", "Log-scales", "Of bound", "f32 - f64", "Dead", "Condition"}};
  for (const Flow::LayerHealth& layer : layers) {
    const auto percent = [](const std::optional<double>& share) {
      return share ? number_text("%.1f %%", 100 * *share) : std::string();
    };
    rows.push_back(
        {layer.name, layer.description, number_text("%.1e", layer.round_trip),
         layer.log_scale
             ? number_text("%.2f", layer.log_scale->first) + " to " + number_text("%.2f", layer.log_scale->second)
             : "",
         percent(layer.share_of_bound), number_text("%.1e", layer.precision_gap), percent(layer.dead_channels),
         layer.condition_number ? number_text("%.3g", *layer.condition_number) : ""});
  }
  page.table(rows);
  page.paragraph(
      "Round trip: the largest error where a layer is inverted. Log-scales: of the elements that a coupling "
      "transforms. Of bound: its mean log-determinant as a share of the largest possible. f32 - f64: what "
      "single precision changes in a log-determinant, in nats. Dead: hidden channels without a gradient.");
  const Figure figure = health_figure(layers);
  if (!figure.panels.empty()) page.figure(figure);
}

void add_plane(Material& m, Page& page) {
  page.section("plane", "The plane under the flow");
  const PlaneDensity density = plane_density(m.flow, square_of(m.test.values, 0.001), 128);
  page.figure(plane_figure(m.flow, density, m.test.values, m.options.seed));
  page.figure(plane_layers_figure(m.flow, m.options.seed));
}

}  // namespace

std::string report_of(const RunFolder& folder, Device device, const ReportOptions& options) {
  Material m = material_of(folder, device, options);
  Page page("Report on " + m.name());
  CountProgress progress("report, parts", 10);
  double done = 0;
  const auto part = [&](void (*add)(Material&, Page&), bool wanted = true) {
    if (wanted) add(m, page);
    progress.update(++done);
  };
  add_summary(m, page);
  add_results(m, page);
  add_curves(m, page);
  add_frames(m, page);
  part(add_plane, is_plane(m.flow));
  part(add_interpolation, m.images());
  part(add_latents);
  part(add_nearest, m.images());
  part(add_likeliest, m.images());
  part(add_dequantization, m.images());
  part(add_masks);
  part(add_scale_curves);
  part(add_ledger);
  part(add_health);
  return page.html();
}

}  // namespace flowsmith::core
