// A canvas that writes SVG 1.1, which browsers show and people can edit.
#pragma once

#include <string>

#include "tools/pictures/canvas.h"

namespace flowsmith::core {

/// The text with what XML and HTML read as marks replaced, and without control characters.
std::string escaped(std::string_view text);

class SvgCanvas final : public Canvas {
 public:
  void line(std::span<const Point> points, const Stroke& stroke) override;
  void area(std::span<const Point> corners, Ink ink, double opacity) override;
  void spots(std::span<const Point> centres, double radius, Ink ink, double opacity) override;
  void text(Point at, std::string_view text, const TextStyle& style) override;
  void image(const Box& box, const Image& image) override;
  void clip(const Box& box) override;
  void unclip() override;
  void tip(const Box& box, std::string_view text) override;

  /// The page as an element for a HTML file: as wide as its place allows, at most `width` pixels. `description` is for
  /// people who do not see it. Text and axes have the classes ink-text, ink-muted and ink-grid, which a page may colour
  /// for a dark ground.
  std::string element(double width, double height, std::string_view description) const;
  /// The page as a file of its own, which is dark where people prefer that.
  std::string file(double width, double height, std::string_view description) const;

 private:
  std::string body_;
};

}  // namespace flowsmith::core
