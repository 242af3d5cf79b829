#include "tools/pictures/latents_view.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tools/progress.h"
#include "tools/table.h"

namespace flowsmith::core {
namespace {

constexpr int kBins = int(2 * kLatentEnd / kLatentBin + 0.5);

LatentNumbers numbers_of(const std::string& name, MapShape shape, std::vector<double> values) {
  LatentNumbers all{name, shape, values.size(), {}, std::vector<double>(kBins), 0, 0};
  const double share = 1 / double(values.size());
  for (const double value : values) {
    if (value < -kLatentEnd) {
      all.below += share;
    } else if (value >= kLatentEnd) {
      all.above += share;
    } else {
      const int bin = std::min(int((value + kLatentEnd) / kLatentBin), kBins - 1);
      all.density[std::size_t(bin)] += share / kLatentBin;
    }
  }
  all.found = normality(std::move(values));
  return all;
}

double standard_normal_density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }

}  // namespace

void share_in_rows(Latents& latents, std::size_t kept, int columns) {
  std::vector<double>& values = latents[kept].values;
  const std::size_t size = std::size_t(latents[kept].h) * latents[kept].w * latents[kept].c;
  for (std::size_t i = 0; i * size < values.size(); ++i) {
    const std::size_t first = i / columns * columns;
    std::copy_n(values.begin() + std::ptrdiff_t(first * size), size, values.begin() + std::ptrdiff_t(i * size));
  }
}

std::vector<LatentNumbers> latents_of_data(Flow& flow, const ExamplePiece& examples, std::uint64_t seed) {
  constexpr std::size_t kPiece = 64;
  std::vector<std::vector<double>> values;
  const Batch batch = examples.batch();
  CountProgress progress("encoding", examples.index.size());
  for (std::size_t begin = 0; begin < examples.index.size(); begin += kPiece) {
    const std::size_t n = std::min(kPiece, examples.index.size() - begin);
    const Latents some =
        flow.encode(batch.slice(flow.dims(), int(begin), int(n)), {NoiseStream{seed, NoisePurpose::kScoring, 0}});
    values.resize(some.size());
    for (std::size_t k = 0; k < some.size(); ++k) {
      values[k].insert(values[k].end(), some[k].values.begin(), some[k].values.end());
    }
    progress.update(double(begin + n));
  }
  std::vector<LatentNumbers> all;
  for (const auto& [name, shape] : flow.latent_shapes()) {
    all.push_back(numbers_of(name, shape, std::move(values[all.size()])));
  }
  return all;
}

Figure latents_figure(const std::vector<LatentNumbers>& latents) {
  Figure figure{.title = "Latents of data beside a standard normal",
                .description = "Histograms of latents:",
                .columns = 2,
                .panel_width = 400,
                .panel_height = 290};
  for (const LatentNumbers& one : latents) {
    Series bars{.kind = Series::Kind::kBars, .name = "data", .x = {}, .y = one.density, .stroke = {.ink = Ink::kSky}};
    for (int i = 0; i <= kBins; ++i) bars.x.push_back(-kLatentEnd + i * kLatentBin);
    Series normal{.name = "standard normal", .x = {}, .y = {}, .stroke = series_stroke(1)};
    for (double x = -kLatentEnd; x <= kLatentEnd + 1e-9; x += 0.05) {
      normal.x.push_back(x);
      normal.y.push_back(standard_normal_density(x));
    }
    char text[120];
    std::snprintf(text, sizeof text, "mean %.3f, deviation %.3f, distance %.3f", one.found.mean, one.found.deviation,
                  one.found.distance);
    figure.description += " " + one.name + " " + text + ";";
    figure.panels.push_back(Chart{.title = one.name + ", " + map_text(one.shape),
                                  .x = {.label = text},
                                  .y = {.label = "density"},
                                  .series = {bars, normal}});
  }
  return figure;
}

}  // namespace flowsmith::core
