#include "tools/pictures/raster_canvas.h"

#include <agg2/agg_conv_dash.h>
#include <agg2/agg_conv_stroke.h>
#include <agg2/agg_conv_transform.h>
#include <agg2/agg_ellipse.h>
#include <agg2/agg_gsv_text.h>
#include <agg2/agg_path_storage.h>
#include <agg2/agg_pixfmt_rgb.h>
#include <agg2/agg_rasterizer_scanline_aa.h>
#include <agg2/agg_renderer_scanline.h>
#include <agg2/agg_scanline_u.h>
#include <agg2/agg_trans_affine.h>

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace flowsmith::core {
namespace {

using Pixels = agg::pixfmt_rgb24;

constexpr double kLongestSide = 16384, kMostPixels = 1 << 26;

// The font is of strokes: letters of this share of the size, drawn by a pen of that.
constexpr double kLetterHeight = 0.72, kLetterWidth = 0.66, kPenOfText = 0.095, kPenOfBold = 0.15;

}  // namespace

struct RasterCanvas::Pen {
  Image image;
  double scale;
  agg::rendering_buffer buffer;
  Pixels pixels;
  agg::renderer_base<Pixels> page;
  agg::rasterizer_scanline_aa<> shape;
  agg::scanline_u8 scanline;

  Pen(int width, int height, double scale_of_page)
      : image{height, width, std::vector<std::uint8_t>(std::size_t(width) * height * 3, 255), 3},
        scale(scale_of_page),
        buffer(image.pixels.data(), unsigned(width), unsigned(height), width * 3),
        pixels(buffer),
        page(pixels) {}

  void fill(Ink ink, double opacity) {
    const Colour c = colour_of(ink);
    const auto alpha = std::uint8_t(std::lround(255 * std::clamp(opacity, 0.0, 1.0)));
    agg::render_scanlines_aa_solid(shape, scanline, page, agg::rgba8(c.red, c.green, c.blue, alpha));
    shape.reset();
  }

  // AGG counts in 1/256 pixels of 32 bits: what is far outside is brought near, where it is as invisible.
  double far(double value) const { return std::clamp(value * scale, -1e5, 1e5); }

  agg::path_storage path_of(std::span<const Point> points) const {
    agg::path_storage path;
    for (const Point& p : points) {
      if (path.total_vertices() == 0) {
        path.move_to(far(p.x), far(p.y));
      } else {
        path.line_to(far(p.x), far(p.y));
      }
    }
    return path;
  }

  template <class Source>
  void stroke_of(Source& source, double width) {
    agg::conv_stroke<Source> stroke(source);
    stroke.width(width * scale);
    stroke.line_join(agg::round_join);
    stroke.line_cap(agg::round_cap);
    shape.add_path(stroke);
  }
};

RasterCanvas::RasterCanvas(double width, double height, double scale) {
  const double columns = std::ceil(width * scale), rows = std::ceil(height * scale);
  if (!(columns >= 1 && rows >= 1 && columns <= kLongestSide && rows <= kLongestSide &&
        columns * rows <= kMostPixels)) {
    throw Error("a chart of " + std::to_string(std::lround(std::min(columns, 1e9))) + " x " +
                std::to_string(std::lround(std::min(rows, 1e9))) + " pixels cannot be drawn: at most 16,384 a side");
  }
  pen_ = std::make_unique<Pen>(int(columns), int(rows), scale);
}

RasterCanvas::~RasterCanvas() = default;

const Image& RasterCanvas::pixels() const { return pen_->image; }

void RasterCanvas::line(std::span<const Point> points, const Stroke& stroke) {
  agg::path_storage path = pen_->path_of(points);
  if (stroke.dashes == 0) {
    pen_->stroke_of(path, stroke.width);
  } else {
    agg::conv_dash<agg::path_storage> dashes(path);
    const double on = stroke.dashes == 1 ? 8 : 2, off = stroke.dashes == 1 ? 4 : 3;
    dashes.add_dash(on * pen_->scale, off * pen_->scale);
    pen_->stroke_of(dashes, stroke.width);
  }
  pen_->fill(stroke.ink, stroke.opacity);
}

void RasterCanvas::area(std::span<const Point> corners, Ink ink, double opacity) {
  agg::path_storage path = pen_->path_of(corners);
  path.close_polygon();
  pen_->shape.add_path(path);
  pen_->fill(ink, opacity);
}

void RasterCanvas::spots(std::span<const Point> centres, double radius, Ink ink, double opacity) {
  const double r = radius * pen_->scale;
  for (const Point& p : centres) {  // one by one, so that crowds are darker
    agg::ellipse circle(pen_->far(p.x), pen_->far(p.y), r, r, 12);
    pen_->shape.add_path(circle);
    pen_->fill(ink, opacity);
  }
}

void RasterCanvas::text(Point at, std::string_view text, const TextStyle& style) {
  std::string ascii;
  for (const char c : text) {
    if ((c & 0xC0) == 0x80) continue;  // the rest of a letter of several bytes
    ascii += c >= 32 && c < 127 ? c : '?';
  }
  agg::gsv_text letters;
  letters.flip(true);
  letters.size(kLetterHeight * style.size, kLetterWidth * style.size);
  letters.text(ascii.c_str());
  const double width = letters.text_width();
  const double shift = style.anchor == Anchor::kStart ? 0 : style.anchor == Anchor::kMiddle ? width / 2 : width;
  letters.start_point(-shift, 0);
  agg::trans_affine place;
  if (style.upwards) place *= agg::trans_affine_rotation(-agg::pi / 2);
  place *= agg::trans_affine_translation(at.x, at.y);
  place *= agg::trans_affine_scaling(pen_->scale);
  agg::conv_transform<agg::gsv_text> placed(letters, place);
  pen_->stroke_of(placed, style.size * (style.bold ? kPenOfBold : kPenOfText));
  pen_->fill(style.ink, 1);
}

void RasterCanvas::image(const Box& box, const Image& image) {
  if (image.rows < 1 || image.cols < 1) return;
  const double s = pen_->scale;
  const int left = int(std::lround(box.left * s)), right = int(std::lround(box.right() * s));
  const int top = int(std::lround(box.top * s)), bottom = int(std::lround(box.bottom() * s));
  for (int y = std::max(top, 0); y < std::min(bottom, pen_->image.rows); ++y) {
    const int from_y = int(std::int64_t(y - top) * image.rows / (bottom - top));
    for (int x = std::max(left, 0); x < std::min(right, pen_->image.cols); ++x) {
      const int from_x = int(std::int64_t(x - left) * image.cols / (right - left));
      const std::uint8_t* const from =
          image.pixels.data() + (std::size_t(from_y) * image.cols + from_x) * image.channels;
      const agg::rgba8 colour(from[0], from[image.channels == 3 ? 1 : 0], from[image.channels == 3 ? 2 : 0]);
      pen_->page.copy_pixel(x, y, colour);
    }
  }
}

void RasterCanvas::clip(const Box& box) {
  const double s = pen_->scale;
  pen_->page.clip_box(int(std::lround(box.left * s)), int(std::lround(box.top * s)),
                      int(std::lround(box.right() * s)) - 1, int(std::lround(box.bottom() * s)) - 1);
}

void RasterCanvas::unclip() { pen_->page.reset_clipping(true); }

}  // namespace flowsmith::core
