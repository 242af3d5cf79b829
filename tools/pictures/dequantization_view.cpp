#include "tools/pictures/dequantization_view.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/grey_levels.h"
#include "tools/progress.h"

namespace flowsmith::core {
namespace {

constexpr double kPixelEnd = 13, kPixelBin = 0.25;  // beyond the logit of the tutorial's alpha / 2
constexpr int kNoiseBins = 32;

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }
double logit(double p) { return std::log(p) - std::log1p(-p); }

class Histogram {
 public:
  Histogram(double low, double high, int bins) : low_(low), width_((high - low) / bins), counts_(std::size_t(bins)) {}

  void add(double value) {
    const double bin = std::clamp((value - low_) / width_, 0.0, double(counts_.size()) - 1);
    counts_[std::size_t(bin)] += 1;
    total_ += 1;
  }
  /// Shares per unit.
  std::vector<double> density() const {
    std::vector<double> shares = counts_;
    for (double& share : shares) share /= total_ * width_;
    return shares;
  }

 private:
  double low_, width_, total_ = 0;
  std::vector<double> counts_;
};

std::vector<double> edges_of(double low, double high, std::size_t bins) {
  std::vector<double> edges;
  for (std::size_t i = 0; i <= bins; ++i) edges.push_back(low + (high - low) * double(i) / double(bins));
  return edges;
}

Series bars_of(const std::string& name, const std::vector<double>& edges, const std::vector<double>& density, Ink ink) {
  return {.kind = Series::Kind::kBars, .name = name, .x = edges, .y = density, .stroke = {.ink = ink, .opacity = 0.6}};
}

Chart chart_of(const DequantizationDensity& all) {
  Chart chart{.title = "Prior",
              .x = {.label = "z = logit(x)", .range = Range{-kDequantizationEnd, kDequantizationEnd}},
              .y = {.label = "density"}};
  const bool uniform = std::all_of(all.prior.begin(), all.prior.end(), [&](double p) { return p == all.prior[0]; });
  chart.title = uniform ? "Uniform prior" : "Prior as given";
  const bool named = all.prior.size() <= 16;
  for (std::size_t k = 0; k < all.prior.size(); ++k) {
    Stroke stroke = series_stroke(k);
    stroke.opacity = 0.8;
    char name[40];
    std::snprintf(name, sizeof name, "%zu: %.3g", k, all.prior[k]);
    chart.series.push_back(
        {.kind = Series::Kind::kArea, .name = named ? name : "", .x = all.z[k], .y = all.density[k], .stroke = stroke});
    if (k > 0 && !all.z[k].empty()) {
      const double top = std::max(all.density[k].front(), all.density[k - 1].empty() ? 0 : all.density[k - 1].back());
      chart.series.push_back({.x = {all.z[k].front(), all.z[k].front()}, .y = {0, top}, .stroke = {.width = 1}});
    }
  }
  return chart;
}

}  // namespace

DequantizationDensity dequantization_density(const std::vector<double>& prior) {
  constexpr int kPoints = 60;
  DequantizationDensity all{prior, {}, {}};
  const double count = double(prior.size());
  for (std::size_t k = 0; k < prior.size(); ++k) {
    const double low = std::max(k == 0 ? -INFINITY : logit(double(k) / count), -kDequantizationEnd);
    const double high = std::min(k + 1 == prior.size() ? INFINITY : logit(double(k + 1) / count), kDequantizationEnd);
    std::vector<double> z, density;
    for (int i = 0; i <= kPoints && low < high; ++i) {
      z.push_back(low + (high - low) * i / kPoints);
      const double x = sigmoid(z.back());
      density.push_back(count * prior[k] * x * (1 - x));
    }
    all.z.push_back(std::move(z));
    all.density.push_back(std::move(density));
  }
  return all;
}

DequantizedPixels dequantized_pixels(Flow& flow, const ExamplePiece& examples, std::uint64_t seed) {
  constexpr std::size_t kPiece = 64;
  const Settings& input = flow.config().dequantization();
  const double alpha = input.number("alpha");
  const int levels = flow.config().data().integer("levels");
  const bool learned = input.type() != "uniform";
  const int bins = int(2 * kPixelEnd / kPixelBin);
  Histogram uniform(-kPixelEnd, kPixelEnd, bins), own(-kPixelEnd, kPixelEnd, bins);
  Histogram noise_uniform(0, 1, kNoiseBins), noise_own(0, 1, kNoiseBins);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> between(0, 1);
  const std::size_t dims = flow.dims();
  const Batch batch = examples.batch();
  CountProgress progress("dequantizing", examples.index.size());
  for (std::size_t begin = 0; begin < examples.index.size(); begin += kPiece) {
    const std::size_t n = std::min(kPiece, examples.index.size() - begin);
    const Batch some = batch.slice(dims, int(begin), int(n));
    const std::vector<double> z =
        flow.layer_outputs(some, {NoiseStream{seed, NoisePurpose::kScoring, 0}}).front().values;
    for (std::size_t i = 0; i < n * dims; ++i) {
      const int level = grey_level(some.pixels[i], levels);
      const double u = between(random);
      uniform.add(logit(alpha / 2 + (1 - alpha) * (level + u) / levels));
      noise_uniform.add(u);
      own.add(z[i]);
      noise_own.add(((sigmoid(z[i]) - alpha / 2) / (1 - alpha)) * levels - level);
    }
    progress.update(double(begin + n));
  }
  DequantizedPixels pixels{
      edges_of(-kPixelEnd, kPixelEnd, std::size_t(bins)), uniform.density(), {}, noise_uniform.density(), {}};
  if (learned) {
    pixels.learned = own.density();
    pixels.noise_learned = noise_own.density();
  }
  return pixels;
}

Figure dequantization_figure(const std::vector<DequantizationDensity>& densities, const DequantizedPixels* pixels) {
  Figure figure{.title = "Dequantization",
                .description = "Densities of discrete values on the real line, a coloured area for each",
                .panels = {},
                .columns = 2,
                .panel_width = 460,
                .panel_height = 320};
  for (const DequantizationDensity& density : densities) figure.panels.push_back(chart_of(density));
  if (pixels == nullptr) return figure;
  figure.description += "; histograms of dequantized pixels and of the noise within a grey level";
  Chart z{.title = "Pixels behind the dequantization", .x = {.label = "z"}, .y = {.label = "density"}};
  Chart u{.title = "Noise within a grey level", .x = {.label = "u", .range = Range{0, 1}}, .y = {.label = "density"}};
  const auto add = [&](const std::string& name, const std::vector<double>& of_z, const std::vector<double>& of_u,
                       Ink ink) {
    z.series.push_back(bars_of(name, pixels->edges, of_z, ink));
    u.series.push_back(bars_of(name, edges_of(0, 1, of_u.size()), of_u, ink));
  };
  add("uniform noise", pixels->uniform, pixels->noise_uniform, Ink::kSky);
  if (!pixels->learned.empty()) add("the flow's noise", pixels->learned, pixels->noise_learned, Ink::kVermilion);
  figure.panels.push_back(std::move(z));
  figure.panels.push_back(std::move(u));
  return figure;
}

}  // namespace flowsmith::core
