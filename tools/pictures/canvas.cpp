#include "tools/pictures/canvas.h"

#include <algorithm>
#include <array>
#include <string>

namespace flowsmith::core {
namespace {

// Of most sans-serif fonts, a wide mean over letters and digits.
constexpr double kWidthOfLetter = 0.56;

std::size_t count_letters(std::string_view text) {
  return std::size_t(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

Colour colour_of(Ink ink) {
  constexpr std::array<Colour, 9> kColours{{{34, 34, 34},
                                            {100, 100, 100},
                                            {221, 221, 221},
                                            {0, 114, 178},
                                            {213, 94, 0},
                                            {0, 158, 115},
                                            {230, 159, 0},
                                            {86, 180, 233},
                                            {204, 121, 167}}};
  return kColours[std::size_t(ink)];
}

Stroke series_stroke(std::size_t i, double width) {
  constexpr std::array kInks{Ink::kBlue, Ink::kVermilion, Ink::kGreen, Ink::kOrange, Ink::kSky, Ink::kPurple};
  return {kInks[i % kInks.size()], width, int(i / kInks.size() % 3)};
}

double text_width(std::string_view text, double size) { return kWidthOfLetter * size * double(count_letters(text)); }

std::string fitted(std::string_view text, double width, double size) {
  std::string cut(text);
  if (text_width(cut, size) <= width) return cut;
  const double room = width - text_width("..", size) + 1e-6;
  while (!cut.empty() && text_width(cut, size) > room) {
    do {
      cut.pop_back();
    } while (!cut.empty() && (cut.back() & 0xC0) == 0x80);
    // A first byte of a letter whose others are gone goes, too.
    if (!cut.empty() && (cut.back() & 0xC0) == 0xC0) cut.pop_back();
  }
  return cut + "..";
}

}  // namespace flowsmith::core
