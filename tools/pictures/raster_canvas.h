// A canvas of pixels, on white: what becomes a PNG file. Anti-Grain Geometry fills the shapes and brings the letters.
#pragma once

#include <memory>

#include "tools/pictures/canvas.h"

namespace flowsmith::core {

class RasterCanvas final : public Canvas {
 public:
  /// `scale` pixels of the image are one of the page, along each side. Throws Error if the image would have no pixel, a
  /// side over 16,384 or more than 2^26 pixels.
  RasterCanvas(double width, double height, double scale);
  ~RasterCanvas() override;

  void line(std::span<const Point> points, const Stroke& stroke) override;
  void area(std::span<const Point> corners, Ink ink, double opacity) override;
  void spots(std::span<const Point> centres, double radius, Ink ink, double opacity) override;
  /// Letters other than ASCII's are drawn as '?': the font has no more.
  void text(Point at, std::string_view text, const TextStyle& style) override;
  void image(const Box& box, const Image& image) override;
  void clip(const Box& box) override;
  void unclip() override;
  void tip(const Box&, std::string_view) override {}  // paper has no pointer

  /// Red, green and blue.
  const Image& pixels() const;

 private:
  struct Pen;
  std::unique_ptr<Pen> pen_;
};

}  // namespace flowsmith::core
