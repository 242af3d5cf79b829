// Points in the plane as a picture of their density.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "data/png.h"

namespace flowsmith::core {

/// A square part of the plane.
struct PlotSquare {
  double left = 0, bottom = 0, side = 1;
};

struct ScatterOptions {
  int size = 600;       ///< pixels a side
  bool dark = true;     ///< on a dark ground, else on white
  double tail = 0.001;  ///< share of the points that may lie outside at each end of each axis
  std::optional<PlotSquare> square = std::nullopt;  ///< instead of the one that the points fill: to compare pictures
};

/// The square that `points` (n, 2) fill, except the tail, with a margin; both axes have the same scale. Points that are
/// not finite do not count. Throws Error if none is.
PlotSquare square_of(std::span<const double> points, double tail);

/// A colour picture of `points` (n, 2): each a small spot, the smaller the more there are; the colour tells how much
/// spots overlap. Points outside, or not finite, are left out. Throws Error if no point is finite, or if the size is
/// not 16 to 8192.
Image draw_scatter(std::span<const double> points, const ScatterOptions& options = {});

/// encode_png(draw_scatter(...)), written atomically.
void write_scatter(const std::string& path, std::span<const double> points, const ScatterOptions& options = {});

}  // namespace flowsmith::core
