// A figure: charts in rows and columns under one title, as a PNG or SVG file.
#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "tools/pictures/chart.h"

namespace flowsmith::core {

struct Figure {
  std::string title = "";
  std::string description = "";  ///< what is to be seen, for people who do not see it
  std::vector<std::variant<Chart, BarChart>> panels = {};
  int columns = 1;
  double panel_width = 560, panel_height = 340;  ///< pixels of the page; bar charts are as high as they have to be
};

/// As an element for a HTML page.
std::string svg_element(const Figure& figure);
/// As an image in red, green and blue, each pixel of the page two by two. Throws Error if it were too large
/// (RasterCanvas).
Image rendered(const Figure& figure);
/// Writes it atomically, as SVG if the name ends in .svg and as PNG otherwise.
void write_figure(const std::string& path, const Figure& figure);

}  // namespace flowsmith::core
