// Flows of points in the plane, as pictures.
#pragma once

#include <span>

#include "data/scatter.h"
#include "models/flow.h"
#include "tools/pictures/figure.h"

namespace flowsmith::core {

/// Whether a flow is one of the plane: numbers in rows of two.
bool is_plane(const Flow& flow);

/// A density on a grid of cells over a square of the plane.
struct PlaneDensity {
  PlotSquare square;
  int side = 0;                ///< cells in a row, and rows
  std::vector<double> values;  ///< p(x) in the middle of each cell, the first row at the top
  double mass = 0;             ///< its integral by the middles of the cells; near 1 if the square holds all of it
};

/// p(x) of a flow of the plane. Shows progress.
PlaneDensity plane_density(Flow& flow, const PlotSquare& square, int side);

/// Four charts: the density with `points` (n, 2) over it, samples, the same points under the flow, where they should
/// be a standard normal, and the image of a regular grid of the latent plane.
Figure plane_figure(Flow& flow, const PlaneDensity& density, std::span<const double> points, std::uint64_t seed);

/// From noise to samples layer by layer: nine charts or fewer, evenly chosen, the first and last of all among them.
Figure plane_layers_figure(Flow& flow, std::uint64_t seed);

}  // namespace flowsmith::core
