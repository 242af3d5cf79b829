#include "tools/pictures/page.h"

#include <string_view>

#include "tools/pictures/base64.h"
#include "tools/pictures/svg_canvas.h"

namespace flowsmith::core {
namespace {

constexpr char kStyle[] = R"css(
:root{color-scheme:light dark;--text:#222;--muted:#5b5f66;--grid:#ddd;--ground:#fff;--card:#f5f6f8;--link:#00598c}
@media(prefers-color-scheme:dark){:root{--text:#e8e8e8;--muted:#a8acb4;--grid:#3c4048;--ground:#16181d;--card:#1f2229;--link:#6cbcf0}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.2rem;max-width:62rem;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.7rem;line-height:1.2;margin:.4rem 0 1rem}
h2{font-size:1.2rem;margin:2.2rem 0 .5rem;border-bottom:1px solid var(--grid);padding-bottom:.2rem}
p{margin:.5rem 0;max-width:46rem}
a{color:var(--link)}
nav{font-size:.95rem}
nav a{display:inline-block;margin:0 .9rem .3rem 0;padding:.2rem 0}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.92rem;margin:.6rem 0}
th,td{padding:.25rem .7rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--grid)}
td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.facts th{font-weight:400;color:var(--muted);white-space:nowrap}
.facts td{overflow-wrap:anywhere}
figure{margin:.8rem 0;overflow-x:auto}
svg,img{max-width:100%;height:auto}
@media(max-width:44rem){figure svg{max-width:none}.facts th{white-space:normal}}
img{image-rendering:pixelated}
.ink-text{fill:var(--text)}.ink-text.line{fill:none;stroke:var(--text)}
.ink-muted{fill:var(--muted)}.ink-muted.line{fill:none;stroke:var(--muted)}
.ink-grid{fill:var(--grid)}.ink-grid.line{fill:none;stroke:var(--grid)}
.tip:hover{fill-opacity:.5}
.choice>input{position:absolute;opacity:0}
.choice>label{display:inline-block;padding:.2rem .8rem;border:1px solid var(--grid);border-radius:1rem;margin-right:.4rem;cursor:pointer;font-size:.9rem}
.choice>input:focus-visible+label{outline:2px solid var(--link)}
.choice>input:checked+label{background:var(--text);color:var(--ground)}
.choice>figure{display:none}
.choice>input:nth-of-type(1):checked~figure:nth-of-type(1),.choice>input:nth-of-type(2):checked~figure:nth-of-type(2){display:block}
.frames{display:flex;gap:1rem;overflow-x:auto;scroll-snap-type:x mandatory;padding-bottom:.5rem}
.frames figure{flex:0 0 auto;max-width:100%;scroll-snap-align:start;margin:0}
figcaption{color:var(--muted);font-size:.9rem}
input[type=range]{width:min(100%,28rem)}
@media print{body{max-width:none;padding:0}nav,.choice>label,input{display:none!important}.choice>figure{display:block!important}
.frames{flex-wrap:wrap;overflow:visible}.frames figure{display:block!important;max-width:45%}section{break-inside:avoid}}
)css";

// With JavaScript one frame is shown at a time, the one that the slider names.
constexpr char kScript[] = R"js(
for (const strip of document.querySelectorAll(".frames")) {
  const frames = [...strip.querySelectorAll("figure")];
  if (frames.length < 2) continue;
  const slider = document.createElement("input");
  slider.type = "range";
  slider.max = frames.length - 1;
  slider.value = slider.max;
  slider.setAttribute("aria-label", strip.getAttribute("aria-label"));
  const show = () => frames.forEach((frame, i) => { frame.style.display = i === +slider.value ? "" : "none"; });
  slider.addEventListener("input", show);
  strip.before(slider);
  show();
}
)js";

/// Of digits, signs and what stands between them: "1.0360 +- 0.0026", "1.1e-14", "7.6 %", "64 of 128".
bool is_number(const std::string& cell) {
  constexpr std::string_view kParts = "0123456789.+-e% tof";
  return cell.find_first_of("0123456789") != std::string::npos && cell.find_first_not_of(kParts) == std::string::npos;
}

}  // namespace

void Page::section(const std::string& id, const std::string& heading) {
  if (open_) body_ += "</section>\n";
  open_ = true;
  contents_ += "<a href=\"#" + id + "\">" + escaped(heading) + "</a>\n";
  body_ += "<section id=\"" + id + "\">\n<h2>" + escaped(heading) + "</h2>\n";
}

void Page::paragraph(const std::string& text) { body_ += "<p>" + escaped(text) + "</p>\n"; }

void Page::facts(const std::vector<std::pair<std::string, std::string>>& rows) {
  body_ += "<table class=\"facts\">\n";
  for (const auto& [name, what] : rows) {
    body_ += "<tr><th scope=\"row\">" + escaped(name) + "</th><td>" + escaped(what) + "</td></tr>\n";
  }
  body_ += "</table>\n";
}

void Page::table(const std::vector<std::vector<std::string>>& rows) {
  body_ += "<div class=\"wide\"><table>\n";
  for (std::size_t r = 0; r < rows.size(); ++r) {
    body_ += "<tr>";
    for (const std::string& cell : rows[r]) {
      const char* const tag = r == 0 ? "th" : "td";
      body_ += std::string("<") + tag + (r > 0 && is_number(cell) ? " class=\"number\"" : "") + ">" + escaped(cell) +
               "</" + tag + ">";
    }
    body_ += "</tr>\n";
  }
  body_ += "</table></div>\n";
}

void Page::figure(const Figure& figure) { body_ += "<figure>" + svg_element(figure) + "</figure>\n"; }

void Page::figure_choice(const std::string& id, const std::string& first_name, const Figure& first,
                         const std::string& second_name, const Figure& second) {
  const auto option = [&](const std::string& name, int k) {
    const std::string own = id + std::to_string(k);
    return "<input type=\"radio\" name=\"" + id + "\" id=\"" + own + "\"" + (k == 0 ? " checked" : "") +
           "><label for=\"" + own + "\">" + escaped(name) + "</label>\n";
  };
  body_ += "<div class=\"choice\">\n" + option(first_name, 0) + option(second_name, 1);
  figure(first);
  figure(second);
  body_ += "</div>\n";
}

void Page::picture(std::span<const std::byte> png, const std::string& description) {
  body_ += "<figure><img src=\"" + png_address(png) + "\" alt=\"" + escaped(description) + "\"></figure>\n";
}

void Page::slider(const std::vector<Frame>& frames, const std::string& description) {
  body_ += "<div class=\"frames\" tabindex=\"0\" role=\"group\" aria-label=\"" + escaped(description) + "\">\n";
  for (const Frame& frame : frames) {
    body_ += "<figure><img src=\"" + png_address(frame.png) + "\" alt=\"" + escaped(description + ", " + frame.name) +
             "\"><figcaption>" + escaped(frame.name) + "</figcaption></figure>\n";
  }
  body_ += "</div>\n";
}

std::string Page::html() const {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<link rel=\"icon\" href=\"data:,\">\n<title>" +
         escaped(title_) + "</title>\n<style>" + kStyle + "</style>\n</head>\n<body>\n<h1>" + escaped(title_) +
         "</h1>\n<nav>\n" + contents_ + "</nav>\n<main>\n" + body_ + (open_ ? "</section>\n" : "") +
         "</main>\n<script>" + kScript + "</script>\n</body>\n</html>\n";
}

}  // namespace flowsmith::core
