#include "tools/pictures/figure.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/colour_ramp.h"
#include "engine/file.h"
#include "tools/pictures/raster_canvas.h"
#include "tools/pictures/svg_canvas.h"

namespace flowsmith::core {
namespace {

constexpr double kTitle = 14, kHeading = 17, kLabel = 12.5, kTick = 11.5;  // sizes of text
constexpr double kMargin = 10, kGap = 5;
constexpr double kTickRoom = 52, kLineRoom = 26;  // along an axis, between two ticks
constexpr double kBarRow = 21, kBarHeight = 13;
constexpr double kColourBar = 12;
constexpr double kTipReach = 4;

// --- ranges ---

/// Grows by what is finite, and above 0 where the axis asks for it.
struct Extent {
  bool logarithmic;
  Range range{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};

  void add(double value) {
    if (!std::isfinite(value) || (logarithmic && !(value > 0))) return;
    range.low = std::min(range.low, value);
    range.high = std::max(range.high, value);
  }
  bool empty() const { return range.high < range.low; }
};

Scale scale_of(const Axis& axis, Extent extent, double margin) {
  if (axis.range) return Scale(*axis.range, axis.logarithmic);
  if (extent.empty()) return Scale({0, 1}, axis.logarithmic);
  Range range = extent.range;
  if (axis.logarithmic) {
    const double factor = std::pow(range.high / range.low, margin);
    range = {range.low / factor, range.high * factor};
  } else {
    const double more = margin * range.length();
    // A range that begins or ends at 0 stays there: bars stand on it.
    range = {range.low == 0 ? 0 : range.low - more, range.high == 0 ? 0 : range.high + more};
  }
  return Scale(range, axis.logarithmic);
}

bool stands_on_zero(const Series& s) { return s.kind == Series::Kind::kArea || s.kind == Series::Kind::kBars; }

std::pair<Scale, Scale> scales_of(const Chart& chart) {
  Extent x{chart.x.logarithmic}, y{chart.y.logarithmic};
  bool lines = false;
  for (const Series& s : chart.series) {
    for (const double value : s.x) x.add(value);
    for (const double value : s.y) y.add(value);
    if (stands_on_zero(s)) y.add(0);
    lines = lines || s.kind == Series::Kind::kSpots;
  }
  if (chart.heat.rows > 0) {
    for (const double value : {chart.heat.x.low, chart.heat.x.high}) x.add(value);
    for (const double value : {chart.heat.y.low, chart.heat.y.high}) y.add(value);
  }
  const bool tight = chart.heat.rows > 0;
  return {scale_of(chart.x, x, tight || !lines ? 0 : 0.04), scale_of(chart.y, y, tight ? 0 : 0.06)};
}

// --- the legend ---

struct LegendItem {
  std::string name;
  Stroke stroke;
  Series::Kind kind;
};

constexpr double kSample = 22;  // width of a piece of the line beside its name

/// In rows below each other, as many beside each other as fit. Returns the height; draws if there is a canvas.
double lay_out_legend(const std::vector<LegendItem>& items, const Box& box, Canvas* canvas) {
  double x = box.left, y = box.top;
  if (items.empty()) return 0;
  constexpr double kRow = 1.5 * kTick;
  for (const LegendItem& item : items) {
    const std::string name = fitted(item.name, box.width - kSample - kGap, kTick);
    const double width = kSample + kGap + text_width(name, kTick) + 14;
    if (x > box.left && x + width - 14 > box.right()) {
      x = box.left;
      y += kRow;
    }
    if (canvas != nullptr) {
      const double middle = y + kRow / 2;
      if (item.kind == Series::Kind::kLine) {
        const Point line[] = {{x, middle}, {x + kSample, middle}};
        canvas->line(line, item.stroke);
      } else if (item.kind == Series::Kind::kSpots) {
        const Point spot[] = {{x + kSample / 2, middle}};
        canvas->spots(spot, std::clamp(item.stroke.width, 2.5, 4.0), item.stroke.ink, 1);
      } else {
        const Point corners[] = {
            {x, middle - 4}, {x + kSample, middle - 4}, {x + kSample, middle + 4}, {x, middle + 4}};
        canvas->area(corners, item.stroke.ink, std::max(item.stroke.opacity, 0.4));
      }
      canvas->text({x + kSample + kGap, middle + 0.35 * kTick}, name, {.size = kTick});
    }
    x += width;
  }
  return y + kRow - box.top;
}

std::vector<LegendItem> legend_of(const Chart& chart) {
  std::vector<LegendItem> items;
  for (const Series& s : chart.series) {
    if (!s.name.empty()) items.push_back({s.name, s.stroke, s.kind});
  }
  return items;
}

std::vector<LegendItem> legend_of(const BarChart& chart) {
  std::vector<LegendItem> items;
  for (const auto& [name, ink] : chart.legend) items.push_back({name, {.ink = ink}, Series::Kind::kBars});
  return items;
}

/// Title and legend at the top of a box; returns what is left of it.
Box below_heading(const std::string& title, const std::vector<LegendItem>& legend, Box box, Canvas* canvas) {
  if (!title.empty()) {
    if (canvas != nullptr) {
      canvas->text({box.left, box.top + kTitle}, fitted(title, box.width, kTitle), {.size = kTitle, .bold = true});
    }
    box.top += 1.6 * kTitle;
    box.height -= 1.6 * kTitle;
  }
  const double height = lay_out_legend(legend, box, canvas);
  if (height == 0) return box;
  return {box.left, box.top + height + kGap, box.width, box.height - height - kGap};
}

// --- axes ---

/// The ticks of an axis that are drawn, with their texts.
struct Ticks {
  std::vector<double> values;
  std::vector<std::string> texts;

  double width() const {
    double widest = 0;
    for (const std::string& text : texts) widest = std::max(widest, text_width(text, kTick));
    return widest;
  }
};

Ticks ticks_of(const Scale& scale, const Axis& axis, int most) {
  Ticks ticks;
  if (axis.hidden) return ticks;
  ticks.values = scale.ticks(std::max(most, 1));
  for (std::size_t i = 0; i < ticks.values.size(); ++i) {
    const double value = ticks.values[i];
    const double step =
        axis.logarithmic || ticks.values.size() < 2 ? std::abs(value) : ticks.values[1] - ticks.values[0];
    ticks.texts.push_back(tick_text(value, step));
  }
  return ticks;
}

/// Columns of the plot, and where numbers lie in it.
struct Plot {
  Box box;
  Scale x, y;

  Point at(double px, double py) const {
    return {box.left + x.place(px) * box.width, box.bottom() - y.place(py) * box.height};
  }
};

void draw_axes(const Plot& plot, const Chart& chart, const Ticks& x_ticks, const Ticks& y_ticks, Canvas& canvas) {
  const Box& box = plot.box;
  const bool grid = chart.heat.rows == 0;
  for (std::size_t i = 0; i < x_ticks.values.size(); ++i) {
    const double x = box.left + plot.x.place(x_ticks.values[i]) * box.width;
    const Point line[] = {{x, grid ? box.top : box.bottom()}, {x, box.bottom() + 4}};
    canvas.line(line, {.ink = Ink::kGrid});
    // The outermost texts stay within the page.
    const double half = text_width(x_ticks.texts[i], kTick) / 2;
    canvas.text({std::max(x, half), box.bottom() + 4 + kTick}, x_ticks.texts[i],
                {.size = kTick, .anchor = Anchor::kMiddle, .ink = Ink::kMuted});
  }
  for (std::size_t i = 0; i < y_ticks.values.size(); ++i) {
    const double y = box.bottom() - plot.y.place(y_ticks.values[i]) * box.height;
    const Point line[] = {{box.left - 4, y}, {grid ? box.right() : box.left, y}};
    canvas.line(line, {.ink = Ink::kGrid});
    canvas.text({box.left - 7, y + 0.35 * kTick}, y_ticks.texts[i],
                {.size = kTick, .anchor = Anchor::kEnd, .ink = Ink::kMuted});
  }
  if (!chart.x.hidden) {
    const Point line[] = {{box.left, box.bottom()}, {box.right(), box.bottom()}};
    canvas.line(line, {.ink = Ink::kMuted});
    canvas.text({box.left + box.width / 2, box.bottom() + 4 + kTick + 1.35 * kLabel}, chart.x.label,
                {.size = kLabel, .anchor = Anchor::kMiddle});
  }
  if (!chart.y.hidden) {
    const Point line[] = {{box.left, box.top}, {box.left, box.bottom()}};
    canvas.line(line, {.ink = Ink::kMuted});
    canvas.text({box.left - 12 - y_ticks.width() - 0.2 * kLabel, box.top + box.height / 2}, chart.y.label,
                {.size = kLabel, .anchor = Anchor::kMiddle, .upwards = true});
  }
}

// --- what is plotted ---

/// The lowest and highest of the numbers of a heat map.
Range range_of(const HeatMap& heat) {
  Extent extent{false};
  for (const double value : heat.values) extent.add(value);
  return extent.empty() ? Range{0, 1} : extent.range;
}

Image image_of(const HeatMap& heat) {
  const Range range = range_of(heat);
  Image image{heat.rows, heat.columns, {}, 3};
  for (const double value : heat.values) {
    const double share = range.length() > 0 && !std::isnan(value) ? (value - range.low) / range.length() : 0;
    const auto colour = colour_at(kDarkRamp, share);
    image.pixels.insert(image.pixels.end(), colour.begin(), colour.end());
  }
  return image;
}

void draw_colour_bar(const HeatMap& heat, const Box& box, Canvas& canvas) {
  constexpr int kSteps = 64;
  Image bar{kSteps, 1, {}, 3};
  for (int i = 0; i < kSteps; ++i) {
    const auto colour = colour_at(kDarkRamp, double(kSteps - 1 - i) / (kSteps - 1));
    bar.pixels.insert(bar.pixels.end(), colour.begin(), colour.end());
  }
  canvas.image(box, bar);
  const Scale scale(range_of(heat), false);
  const Ticks ticks = ticks_of(scale, {}, int(box.height / kLineRoom));
  for (std::size_t i = 0; i < ticks.values.size(); ++i) {
    const double y = box.bottom() - scale.place(ticks.values[i]) * box.height;
    canvas.text({box.right() + 4, y + 0.35 * kTick}, ticks.texts[i], {.size = kTick, .ink = Ink::kMuted});
  }
  canvas.text({box.right() + 4 + ticks.width() + 1.1 * kLabel, box.top + box.height / 2}, heat.label,
              {.size = kLabel, .anchor = Anchor::kMiddle, .upwards = true});
}

double colour_bar_width(const HeatMap& heat, double height) {
  if (heat.rows == 0 || heat.label.empty()) return 0;
  const Ticks ticks = ticks_of(Scale(range_of(heat), false), {}, int(height / kLineRoom));
  return kMargin + kColourBar + 4 + ticks.width() + 1.5 * kLabel;
}

/// Where areas and bars stand: at 0, or at the edge that is nearest to it.
double base_of(const Plot& plot) {
  const double place = plot.y.place(0);
  return plot.box.bottom() - (std::isfinite(place) ? std::clamp(place, 0.0, 1.0) : 0) * plot.box.height;
}

bool is_finite(Point p) { return std::isfinite(p.x) && std::isfinite(p.y); }

void draw_bars(const Series& s, const Plot& plot, Canvas& canvas) {
  const double base = base_of(plot);
  for (std::size_t i = 0; i < s.y.size() && i + 1 < s.x.size(); ++i) {
    const Point from = plot.at(s.x[i], s.y[i]), to = plot.at(s.x[i + 1], s.y[i]);
    if (!is_finite(from) || !is_finite(to) || s.y[i] == 0) continue;
    const Point corners[] = {{from.x, base}, from, to, {to.x, base}};
    canvas.area(corners, s.stroke.ink, s.stroke.opacity);
  }
}

/// A line in pieces, between the points that have no place. With tips, where a line has a lone point there is a spot.
void draw_line(const Series& s, const Plot& plot, Canvas& canvas) {
  std::vector<Point> piece;
  const auto finish = [&] {
    if (piece.size() == 1) {
      canvas.spots(piece, 1.5 * s.stroke.width, s.stroke.ink, s.stroke.opacity);
    } else if (!piece.empty()) {
      if (s.kind == Series::Kind::kArea) {
        const double base = base_of(plot);
        std::vector<Point> corners{{piece.front().x, base}};
        corners.insert(corners.end(), piece.begin(), piece.end());
        corners.push_back({piece.back().x, base});
        canvas.area(corners, s.stroke.ink, s.stroke.opacity);
      } else {
        canvas.line(piece, s.stroke);
      }
    }
    piece.clear();
  };
  for (std::size_t i = 0; i < std::min(s.x.size(), s.y.size()); ++i) {
    const Point p = plot.at(s.x[i], s.y[i]);
    if (is_finite(p)) {
      piece.push_back(p);
    } else {
      finish();
    }
  }
  finish();
}

void draw_spots(const Series& s, const Plot& plot, Canvas& canvas) {
  std::vector<Point> centres;
  for (std::size_t i = 0; i < std::min(s.x.size(), s.y.size()); ++i) {
    const Point p = plot.at(s.x[i], s.y[i]);
    if (is_finite(p)) centres.push_back(p);
  }
  canvas.spots(centres, s.stroke.width, s.stroke.ink, s.stroke.opacity);
}

void add_tips(const Series& s, const Plot& plot, const Chart& chart, Canvas& canvas) {
  for (std::size_t i = 0; i < std::min(s.x.size(), s.y.size()); ++i) {
    const Point p = plot.at(s.x[i], s.y[i]);
    if (!is_finite(p)) continue;
    char numbers[80];
    std::snprintf(numbers, sizeof numbers, " %.6g: %.4f", s.x[i], s.y[i]);
    canvas.tip({p.x - kTipReach, p.y - kTipReach, 2 * kTipReach, 2 * kTipReach},
               (s.name.empty() ? "" : s.name + ", ") + chart.x.label + numbers);
  }
}

void draw_chart(const Chart& chart, const Box& whole, Canvas& canvas) {
  const Box box = below_heading(chart.title, legend_of(chart), whole, &canvas);
  auto [x, y] = scales_of(chart);
  const double below = chart.x.hidden ? 0 : 6 + kTick + (chart.x.label.empty() ? 0 : 1.6 * kLabel);
  const double height = std::max(box.height - below - kGap, 20.0);
  const Ticks y_ticks = ticks_of(y, chart.y, int(height / kLineRoom));
  const double left = chart.y.hidden ? 0 : 9 + y_ticks.width() + (chart.y.label.empty() ? 0 : 1.5 * kLabel);
  const double right = colour_bar_width(chart.heat, height);
  Plot plot{{box.left + left, box.top + kGap, std::max(box.width - left - right, 20.0), height}, x, y};
  if (chart.same_scale) {
    // The plot shrinks to the shape of its ranges.
    const double per_unit = std::min(plot.box.width / x.range().length(), plot.box.height / y.range().length());
    plot.box.width = per_unit * x.range().length();
    plot.box.height = per_unit * y.range().length();
  }
  const Ticks x_ticks = ticks_of(x, chart.x, int(plot.box.width / kTickRoom));
  if (chart.heat.rows > 0) {
    const HeatMap& heat = chart.heat;
    const Point corner = plot.at(heat.x.low, heat.y.high), opposite = plot.at(heat.x.high, heat.y.low);
    canvas.clip(plot.box);
    canvas.image({corner.x, corner.y, opposite.x - corner.x, opposite.y - corner.y}, image_of(heat));
    canvas.unclip();
    if (right > 0) {
      draw_colour_bar(heat, {plot.box.right() + kMargin, plot.box.top, kColourBar, plot.box.height}, canvas);
    }
  }
  draw_axes(plot, chart, x_ticks, y_ticks, canvas);
  canvas.clip(plot.box);
  for (const Series& s : chart.series) {
    if (s.kind == Series::Kind::kBars) {
      draw_bars(s, plot, canvas);
    } else if (s.kind == Series::Kind::kSpots) {
      draw_spots(s, plot, canvas);
    } else {
      draw_line(s, plot, canvas);
    }
  }
  canvas.unclip();
  for (const Series& s : chart.series) {
    if (s.tips) add_tips(s, plot, chart, canvas);
  }
}

std::string bar_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, std::abs(value) < 1e6 ? "%.4f" : "%.4g", value);
  return text;
}

double bar_chart_height(const BarChart& chart, double width) {
  const Box begin{0, 0, width, 0};
  return -below_heading(chart.title, legend_of(chart), begin, nullptr).height + kBarRow * double(chart.bars.size()) +
         (chart.unit.empty() ? 0 : 1.6 * kLabel) + kGap;
}

void draw_bar_chart(const BarChart& chart, const Box& whole, Canvas& canvas) {
  const Box box = below_heading(chart.title, legend_of(chart), whole, &canvas);
  Extent extent{false};
  extent.add(0);
  double names = 0, numbers = 0;
  for (const auto& bar : chart.bars) {
    extent.add(bar.value);
    names = std::max(names, text_width(bar.name, kTick));
    numbers = std::max(numbers, text_width(bar_number(bar.value), kTick));
  }
  names = std::min(names, 0.45 * box.width);
  const Box plot{box.left + names + kMargin, box.top, std::max(box.width - names - numbers - 2 * kMargin, 20.0),
                 kBarRow * double(chart.bars.size())};
  const Scale scale(extent.range, false);
  const double zero = plot.left + scale.place(0) * plot.width;
  const Point base[] = {{zero, plot.top}, {zero, plot.bottom()}};
  canvas.line(base, {.ink = Ink::kGrid});
  for (std::size_t i = 0; i < chart.bars.size(); ++i) {
    const auto& bar = chart.bars[i];
    const double middle = plot.top + kBarRow * (double(i) + 0.5);
    canvas.text({box.left + names, middle + 0.35 * kTick}, fitted(bar.name, names, kTick),
                {.size = kTick, .anchor = Anchor::kEnd});
    canvas.text({box.right(), middle + 0.35 * kTick}, bar_number(bar.value),
                {.size = kTick, .anchor = Anchor::kEnd, .ink = Ink::kMuted});
    const double end = plot.left + scale.place(bar.value) * plot.width;
    if (!std::isfinite(end)) continue;
    const Point corners[] = {{zero, middle - kBarHeight / 2},
                             {end, middle - kBarHeight / 2},
                             {end, middle + kBarHeight / 2},
                             {zero, middle + kBarHeight / 2}};
    canvas.area(corners, bar.ink, 1);
  }
  canvas.text({box.right(), plot.bottom() + 1.3 * kLabel}, chart.unit, {.size = kLabel, .anchor = Anchor::kEnd});
}

// --- the page ---

double panel_height(const Figure& figure, std::size_t i) {
  const auto* const bars = std::get_if<BarChart>(&figure.panels[i]);
  return bars == nullptr ? figure.panel_height : bar_chart_height(*bars, figure.panel_width);
}

/// The page's height; draws if there is a canvas.
double lay_out(const Figure& figure, double width, Canvas* canvas) {
  double top = kMargin;
  if (!figure.title.empty()) {
    if (canvas != nullptr) {
      canvas->text({kMargin, top + kHeading}, fitted(figure.title, width - 2 * kMargin, kHeading),
                   {.size = kHeading, .bold = true});
    }
    top += 1.7 * kHeading;
  }
  const std::size_t columns = std::size_t(std::max(figure.columns, 1));
  for (std::size_t first = 0; first < figure.panels.size(); first += columns) {
    double highest = 0;
    for (std::size_t i = first; i < std::min(first + columns, figure.panels.size()); ++i) {
      highest = std::max(highest, panel_height(figure, i));
    }
    for (std::size_t i = first; i < std::min(first + columns, figure.panels.size()) && canvas != nullptr; ++i) {
      const double left = kMargin + double(i - first) * (figure.panel_width + 2 * kMargin);
      const Box box{left, top, figure.panel_width, highest};
      if (const auto* const chart = std::get_if<Chart>(&figure.panels[i])) {
        draw_chart(*chart, box, *canvas);
      } else {
        draw_bar_chart(std::get<BarChart>(figure.panels[i]), box, *canvas);
      }
    }
    top += highest + kMargin;
  }
  return top;
}

double width_of(const Figure& figure) {
  const double columns =
      double(std::clamp<std::size_t>(figure.panels.size(), 1, std::size_t(std::max(figure.columns, 1))));
  return columns * (figure.panel_width + 2 * kMargin);
}

SvgCanvas drawn_as_svg(const Figure& figure) {
  SvgCanvas canvas;
  lay_out(figure, width_of(figure), &canvas);
  return canvas;
}

}  // namespace

std::string svg_element(const Figure& figure) {
  const double width = width_of(figure);
  return drawn_as_svg(figure).element(width, lay_out(figure, width, nullptr), figure.description);
}

Image rendered(const Figure& figure) {
  const double width = width_of(figure);
  RasterCanvas canvas(width, lay_out(figure, width, nullptr), 2);
  lay_out(figure, width, &canvas);
  return canvas.pixels();
}

void write_figure(const std::string& path, const Figure& figure) {
  if (path.ends_with(".svg")) {
    const double width = width_of(figure);
    write_file_atomically(path, drawn_as_svg(figure).file(width, lay_out(figure, width, nullptr), figure.description));
  } else {
    write_file_atomically(path, encode_png(rendered(figure)));
  }
}

}  // namespace flowsmith::core
