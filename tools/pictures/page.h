// A HTML page that holds everything it shows: text, tables, charts as SVG and pictures as PNG. It asks no network, is
// light or dark as people prefer, fits a phone and paper, and says everything without JavaScript.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/pictures/figure.h"

namespace flowsmith::core {

class Page {
 public:
  explicit Page(std::string title) : title_(std::move(title)) {}

  /// Begins a section, which the list at the top of the page names.
  void section(const std::string& id, const std::string& heading);
  void paragraph(const std::string& text);
  /// Names and what is said of them, in two columns.
  void facts(const std::vector<std::pair<std::string, std::string>>& rows);
  /// The first row names the columns; numbers are aligned to the right.
  void table(const std::vector<std::vector<std::string>>& rows);
  void figure(const Figure& figure);
  /// Two forms of one figure to choose from, the first at first. `id` is a word of letters that no other has.
  void figure_choice(const std::string& id, const std::string& first_name, const Figure& first,
                     const std::string& second_name, const Figure& second);
  /// A PNG file. `description` is for people who do not see it.
  void picture(std::span<const std::byte> png, const std::string& description);
  struct Frame {
    std::vector<std::byte> png;
    std::string name;
  };
  /// Pictures one after the other: to scroll through, and with JavaScript on a slider.
  void slider(const std::vector<Frame>& frames, const std::string& description);

  std::string html() const;

 private:
  std::string title_, contents_, body_;
  bool open_ = false;
};

}  // namespace flowsmith::core
