// What charts are drawn on: a page of lines, areas, spots, text and images. SvgCanvas and RasterCanvas are such pages.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "data/png.h"

namespace flowsmith::core {

/// A place on the page, in pixels from its left upper corner.
struct Point {
  double x = 0, y = 0;
};

struct Box {
  double left = 0, top = 0, width = 0, height = 0;

  double right() const { return left + width; }
  double bottom() const { return top + height; }
};

/// Colours by their use, so that a page can be light or dark. The last six are told apart by colour-blind readers, too
/// (M. Okabe and K. Ito, Color Universal Design, 2008).
enum class Ink { kText, kMuted, kGrid, kBlue, kVermilion, kGreen, kOrange, kSky, kPurple };

/// Red, green and blue of an ink on white paper.
struct Colour {
  unsigned char red, green, blue;
};
Colour colour_of(Ink ink);

struct Stroke {
  Ink ink = Ink::kText;
  double width = 1;
  int dashes = 0;  ///< 0: a whole line, 1: long dashes, 2: short ones
  double opacity = 1;
};

/// The stroke of the i-th series of a chart: six colours, then the same with dashes.
Stroke series_stroke(std::size_t i, double width = 1.8);

enum class Anchor { kStart, kMiddle, kEnd };

struct TextStyle {
  double size = 12;  ///< height of a line of it is about 1.2 times that
  Anchor anchor = Anchor::kStart;
  Ink ink = Ink::kText;
  bool upwards = false;  ///< turned to be read from the right
  bool bold = false;
};

/// An upper estimate of the width of most texts, in pixels: what layouts reserve. It knows no font.
double text_width(std::string_view text, double size);

/// The text, cut to the width and then ending in "..".
std::string fitted(std::string_view text, double width, double size);

class Canvas {
 public:
  virtual ~Canvas() = default;
  virtual void line(std::span<const Point> points, const Stroke& stroke) = 0;
  /// The inside of a polygon.
  virtual void area(std::span<const Point> corners, Ink ink, double opacity) = 0;
  /// Filled circles.
  virtual void spots(std::span<const Point> centres, double radius, Ink ink, double opacity) = 0;
  /// `at` is on the base line, at the text's start, middle or end.
  virtual void text(Point at, std::string_view text, const TextStyle& style) = 0;
  /// Stretched to the box, each pixel a rectangle.
  virtual void image(const Box& box, const Image& image) = 0;
  /// What comes next is drawn inside of the box only, until unclip().
  virtual void clip(const Box& box) = 0;
  virtual void unclip() = 0;
  /// Is shown while the pointer rests on the box, where a page has a pointer.
  virtual void tip(const Box& box, std::string_view text) = 0;
};

}  // namespace flowsmith::core
