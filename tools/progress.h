// A progress line for people: rewritten in place on a terminal, one plain line every few seconds elsewhere.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>

namespace flowsmith {

/// "41 s", "12:05", "3:07:12"
inline std::string clock_text(double seconds) {
  if (!std::isfinite(seconds) || seconds > 1e8) return "?";
  const long long s = std::llround(seconds);
  char text[48];
  if (s < 60) {
    std::snprintf(text, sizeof text, "%lld s", s);
  } else if (s < 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld", s / 60, s % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
  }
  return text;
}

class ProgressLine {
 public:
  explicit ProgressLine(std::FILE* stream) : stream_(stream), terminal_(isatty(fileno(stream))) {}
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// Shows `text` now, or leaves it out if the last one is too recent and `important` is false.
  void show(const std::string& text, bool important = false) {
    const auto now = std::chrono::steady_clock::now();
    const double gap = terminal_ ? 0.1 : 5;  // seconds
    if (!important && shown_ && std::chrono::duration<double>(now - last_).count() < gap) return;
    last_ = now;
    shown_ = true;
    if (terminal_) {
      std::fprintf(stream_, "\r\033[K%s", text.c_str());
      open_ = true;
    } else {
      std::fprintf(stream_, "%s\n", text.c_str());
    }
    std::fflush(stream_);
  }

  /// A line that stays, above the progress line.
  void say(const std::string& line) {
    clear();
    std::fprintf(stream_, "%s\n", line.c_str());
    std::fflush(stream_);
  }

  void clear() {
    if (open_) std::fprintf(stream_, "\r\033[K");
    open_ = false;
  }

 private:
  std::FILE* stream_;
  bool terminal_;
  bool shown_ = false, open_ = false;
  std::chrono::steady_clock::time_point last_;
};

/// Progress of a count towards a total, with an ETA from the speed so far. Nothing is shown in the first second, nor
/// when all is done: what a tool prints next says so.
class CountProgress {
 public:
  CountProgress(std::string what, std::size_t total) : what_(std::move(what)), total_(total) {}

  void set_total(std::size_t total) { total_ = total; }

  void update(std::size_t done) {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    if (seconds < 1 || done == 0 || done == total_) return;
    const double eta = seconds * double(total_ - done) / double(done);
    line_.show(what_ + " " + std::to_string(done) + "/" + std::to_string(total_) + ", ETA " + clock_text(eta));
  }

 private:
  std::string what_;
  std::size_t total_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  ProgressLine line_{stderr};
};

}  // namespace flowsmith
