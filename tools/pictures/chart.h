// Charts: what they hold. figure.h draws them.
#pragma once

#include <string>
#include <vector>

#include "tools/pictures/axis.h"
#include "tools/pictures/canvas.h"

namespace flowsmith::core {

/// Numbers that belong together. Points that are not finite are left out, and lines end at them.
struct Series {
  enum class Kind {
    kLine,   ///< through (x, y)
    kSpots,  ///< at (x, y)
    kArea,   ///< between y = 0 and the line through (x, y)
    kBars,   ///< from y = 0 to y[i], between x[i] and x[i + 1]
  };
  Kind kind = Kind::kLine;
  std::string name = "";  ///< in the legend; none is not listed
  std::vector<double> x = {}, y = {};
  Stroke stroke = {};  ///< of spots, width is their radius
  bool tips = false;   ///< points show their numbers to a pointer; for lines of some hundred points
};

/// Numbers (rows, columns), the first row at the top, as the colours of kDarkRamp, from the lowest to the highest.
struct HeatMap {
  std::vector<double> values = {};
  int rows = 0, columns = 0;
  Range x = {}, y = {};    ///< from edge to edge
  std::string label = "";  ///< of the colour bar; without one there is no bar
};

struct Chart {
  std::string title = "";
  Axis x = {}, y = {};
  HeatMap heat = {};  ///< no rows: none
  std::vector<Series> series = {};
  bool same_scale = false;  ///< a unit of x is as long as one of y
};

/// Bars beside each other, one below the other, each with a name and a number.
struct BarChart {
  struct Bar {
    std::string name;
    double value = 0;
    Ink ink = Ink::kBlue;
  };
  std::string title = "";
  std::string unit = "";
  std::vector<Bar> bars = {};
  struct Key {
    std::string name;
    Ink ink;
  };
  std::vector<Key> legend = {};
};

}  // namespace flowsmith::core
