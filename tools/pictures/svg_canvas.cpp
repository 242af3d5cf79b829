#include "tools/pictures/svg_canvas.h"

#include <cmath>
#include <cstdio>

#include "tools/pictures/base64.h"

namespace flowsmith::core {
namespace {

/// To a tenth of a pixel.
std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  std::string short_text = text;
  if (short_text.ends_with(".0")) short_text.resize(short_text.size() - 2);
  return short_text == "-0" ? "0" : short_text;
}

std::string pair(Point p) { return number(p.x) + " " + number(p.y); }

/// What an ink is on white, and the name by which a dark page changes it.
std::string paint(const char* attribute, Ink ink) {
  const Colour c = colour_of(ink);
  char text[40];
  std::snprintf(text, sizeof text, " %s=\"#%02x%02x%02x\"", attribute, c.red, c.green, c.blue);
  std::string all = text;
  const char* const side = attribute[0] == 's' ? " line" : "";
  if (ink == Ink::kText) all += std::string(" class=\"ink-text") + side + "\"";
  if (ink == Ink::kMuted) all += std::string(" class=\"ink-muted") + side + "\"";
  if (ink == Ink::kGrid) all += std::string(" class=\"ink-grid") + side + "\"";
  return all;
}

std::string opacity_attribute(const char* attribute, double opacity) {
  if (opacity >= 1) return "";
  char text[40];
  std::snprintf(text, sizeof text, " %s-opacity=\"%.2g\"", attribute, opacity);
  return text;
}

std::string path_through(std::span<const Point> points) {
  std::string d;
  for (const Point& p : points) d += (d.empty() ? "M" : "L") + pair(p);
  return d;
}

std::string placed(const Box& box) {
  return " x=\"" + number(box.left) + "\" y=\"" + number(box.top) + "\" width=\"" + number(box.width) + "\" height=\"" +
         number(box.height) + "\"";
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += (c >= 0 && c < 32 && c != '\n') || c == 127 ? '?' : c;
    }
  }
  return safe;
}

void SvgCanvas::line(std::span<const Point> points, const Stroke& stroke) {
  if (points.empty()) return;
  body_ += "<path d=\"" + path_through(points) + "\" fill=\"none\"" + paint("stroke", stroke.ink) + " stroke-width=\"" +
           number(stroke.width) + "\" stroke-linejoin=\"round\"" + opacity_attribute("stroke", stroke.opacity);
  if (stroke.dashes == 1) body_ += " stroke-dasharray=\"8 4\"";
  if (stroke.dashes == 2) body_ += " stroke-dasharray=\"2 3\"";
  body_ += "/>\n";
}

void SvgCanvas::area(std::span<const Point> corners, Ink ink, double opacity) {
  if (corners.empty()) return;
  body_ +=
      "<path d=\"" + path_through(corners) + "Z\"" + paint("fill", ink) + opacity_attribute("fill", opacity) + "/>\n";
}

void SvgCanvas::spots(std::span<const Point> centres, double radius, Ink ink, double opacity) {
  if (centres.empty()) return;
  // Lines of no length with round ends: a tenth of the bytes of so many circles.
  std::string d;
  for (const Point& p : centres) d += "M" + pair(p) + "h0";
  body_ += "<path d=\"" + d + "\" fill=\"none\" stroke-linecap=\"round\"" + paint("stroke", ink) + " stroke-width=\"" +
           number(2 * radius) + "\"" + opacity_attribute("stroke", opacity) + "/>\n";
}

void SvgCanvas::text(Point at, std::string_view text, const TextStyle& style) {
  if (text.empty()) return;
  body_ += "<text x=\"" + number(at.x) + "\" y=\"" + number(at.y) + "\" font-size=\"" + number(style.size) + "\"" +
           paint("fill", style.ink);
  if (style.anchor == Anchor::kMiddle) body_ += " text-anchor=\"middle\"";
  if (style.anchor == Anchor::kEnd) body_ += " text-anchor=\"end\"";
  if (style.bold) body_ += " font-weight=\"600\"";
  if (style.upwards) body_ += " transform=\"rotate(-90 " + pair(at) + ")\"";
  body_ += ">" + escaped(text) + "</text>\n";
}

void SvgCanvas::image(const Box& box, const Image& image) {
  body_ += "<image" + placed(box) + " preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" href=\"" +
           png_address(encode_png(image)) + "\"/>\n";
}

// A page within the page cuts off what leaves it, and needs no name that could be taken.
void SvgCanvas::clip(const Box& box) {
  body_ += "<svg" + placed(box) + " viewBox=\"" + number(box.left) + " " + number(box.top) + " " + number(box.width) +
           " " + number(box.height) + "\">\n";
}

void SvgCanvas::unclip() { body_ += "</svg>\n"; }

void SvgCanvas::tip(const Box& box, std::string_view text) {
  body_ += "<rect" + placed(box) + " class=\"tip\" fill=\"#888\" fill-opacity=\"0\"><title>" + escaped(text) +
           "</title></rect>\n";
}

std::string SvgCanvas::element(double width, double height, std::string_view description) const {
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(width) + " " + number(height) +
         "\" width=\"" + number(width) + "\" height=\"" + number(height) + "\" role=\"img\" aria-label=\"" +
         escaped(description) + "\" font-family=\"system-ui, sans-serif\">\n" + body_ + "</svg>\n";
}

std::string SvgCanvas::file(double width, double height, std::string_view description) const {
  std::string whole = element(width, height, description);
  const std::string style =
      "<style>svg{background:#fff}@media(prefers-color-scheme:dark){svg{background:#16181d}"
      ".ink-text{fill:#e8e8e8}.ink-text.line{fill:none;stroke:#e8e8e8}"
      ".ink-muted{fill:#a8a8a8}.ink-muted.line{fill:none;stroke:#a8a8a8}"
      ".ink-grid{fill:#3c4048}.ink-grid.line{fill:none;stroke:#3c4048}}</style>\n";
  whole.insert(whole.find('\n') + 1, style);
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + whole;
}

}  // namespace flowsmith::core
