#include "tools/pictures/plane_view.h"

#include <algorithm>
#include <cmath>

#include "tools/progress.h"

namespace flowsmith::core {
namespace {

constexpr std::size_t kSpots = 1000;  // as many as can be told apart

/// Rows of two as a series of spots.
Series spots_of(std::span<const double> points, const std::string& name, Ink ink) {
  Series spots{.kind = Series::Kind::kSpots,
               .name = name,
               .x = {},
               .y = {},
               .stroke = {.ink = ink, .width = 1.3, .opacity = 0.6}};
  for (std::size_t i = 0; i + 1 < std::min(points.size(), 2 * kSpots); i += 2) {
    spots.x.push_back(points[i]);
    spots.y.push_back(points[i + 1]);
  }
  return spots;
}

Chart plane_chart(const std::string& title, const PlotSquare& square) {
  return {.title = title,
          .x = {.range = Range{square.left, square.left + square.side}},
          .y = {.range = Range{square.bottom, square.bottom + square.side}},
          .series = {},
          .same_scale = true};
}

/// Lines of a grid of the latent plane, from -reach to reach, and what the flow makes of them.
Chart grid_chart(Flow& flow, const PlotSquare& square) {
  constexpr int kLines = 13, kPoints = 401;
  constexpr double kReach = 3;
  std::vector<double> z;
  for (int direction = 0; direction < 2; ++direction) {
    for (int line = 0; line < kLines; ++line) {
      const double fixed = -kReach + 2 * kReach * line / (kLines - 1);
      for (int i = 0; i < kPoints; ++i) {
        const double moving = -kReach + 2 * kReach * i / (kPoints - 1);
        z.push_back(direction == 0 ? fixed : moving);
        z.push_back(direction == 0 ? moving : fixed);
      }
    }
  }
  const int n = int(z.size() / 2);
  Latents latents = flow.draw_latents({.count = n});
  latents.back().values = z;
  const std::vector<double> x = flow.decode_numbers(latents, n);
  Chart chart = plane_chart("A grid of the latent plane", square);
  for (int line = 0; line < 2 * kLines; ++line) {
    Series curve{.x = {}, .y = {}, .stroke = {.ink = line < kLines ? Ink::kBlue : Ink::kVermilion, .width = 1}};
    for (int i = 0; i < kPoints; ++i) {
      curve.x.push_back(x[2 * std::size_t(line * kPoints + i)]);
      curve.y.push_back(x[2 * std::size_t(line * kPoints + i) + 1]);
    }
    chart.series.push_back(std::move(curve));
  }
  return chart;
}

std::vector<std::uint32_t> first_numbers(int n) {
  std::vector<std::uint32_t> index(std::size_t(std::max(n, 0)));
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = std::uint32_t(i);
  return index;
}

}  // namespace

bool is_plane(const Flow& flow) { return !flow.takes_images() && flow.dims() == 2 && flow.latent_shapes().size() == 1; }

PlaneDensity plane_density(Flow& flow, const PlotSquare& square, int side) {
  PlaneDensity density{square, side, {}, 0};
  const double cell = square.side / side;
  std::vector<double> row(2 * std::size_t(side));
  const std::vector<std::uint32_t> index = first_numbers(side);
  CountProgress progress("rows of the density", std::size_t(side));
  for (int r = 0; r < side; ++r) {
    for (int c = 0; c < side; ++c) {
      row[2 * std::size_t(c)] = square.left + (c + 0.5) * cell;
      row[2 * std::size_t(c) + 1] = square.bottom + square.side - (r + 0.5) * cell;
    }
    const NoiseStream no_noise{0, NoisePurpose::kScoring, 0};
    for (const double nats : flow.log_prob({nullptr, index.data(), side, row.data()}, {no_noise})) {
      density.values.push_back(std::exp(nats));
      density.mass += density.values.back() * cell * cell;
    }
    progress.update(r + 1);
  }
  return density;
}

Figure plane_figure(Flow& flow, const PlaneDensity& density, std::span<const double> points, std::uint64_t seed) {
  const PlotSquare& square = density.square;
  char mass[80];
  std::snprintf(mass, sizeof mass, "Density, integral here %.4f", density.mass);
  Chart heat = plane_chart(mass, square);
  heat.heat = {.values = density.values,
               .rows = density.side,
               .columns = density.side,
               .x = *heat.x.range,
               .y = *heat.y.range,
               .label = "p(x)"};
  heat.series.push_back(spots_of(points.first(std::min<std::size_t>(points.size(), 600)), "", Ink::kSky));

  Chart samples = plane_chart("Samples", square);
  samples.series.push_back(spots_of(flow.sample_numbers({.count = int(kSpots), .seed = seed}), "", Ink::kBlue));

  const int n = int(std::min(points.size() / 2, kSpots));
  const std::vector<std::uint32_t> index = first_numbers(n);
  const Latents latents = flow.encode({nullptr, index.data(), n, points.data()}, {NoiseStream{}});
  Chart latent = plane_chart("Data under the flow", {-4, -4, 8});
  latent.series.push_back(spots_of(latents.back().values, "", Ink::kGreen));

  return {.title = "A flow of the plane",
          .description = "The density with data over it, samples, the latents of data, and the image of a grid",
          .panels = {heat, samples, latent, grid_chart(flow, square)},
          .columns = 2,
          .panel_width = 430,
          .panel_height = 400};
}

Figure plane_layers_figure(Flow& flow, std::uint64_t seed) {
  constexpr std::size_t kMostPanels = 9;
  const Latents latents = flow.draw_latents({.count = int(kSpots), .seed = seed});
  std::vector<Flow::LayerOutput> outputs = flow.inverse_outputs(latents, int(kSpots));
  // What the first layer makes is in the units of standardized numbers; samples are in those of the data.
  outputs.back().values = flow.decode_numbers(latents, int(kSpots));
  Figure figure{.title = "From noise to samples, layer by layer",
                .description = "Points that move from a standard normal to samples",
                .panels = {},
                .columns = 3,
                .panel_width = 260,
                .panel_height = 270};
  const std::size_t count = std::min(outputs.size(), kMostPanels);
  for (std::size_t k = 0; k < count; ++k) {
    const std::size_t i = count == 1 ? 0 : k * (outputs.size() - 1) / (count - 1);
    const std::vector<double>& points = outputs[i].values;
    const std::string title = i == 0                    ? "noise"
                              : i + 1 == outputs.size() ? "samples"
                                                        : "behind " + outputs[i].name + "'s inverse";
    Chart chart = plane_chart(title, square_of(points, 0.002));
    chart.series.push_back(spots_of(points, "", i + 1 == outputs.size() ? Ink::kBlue : Ink::kGreen));
    figure.panels.push_back(std::move(chart));
  }
  return figure;
}

}  // namespace flowsmith::core
