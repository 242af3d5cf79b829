// A progress line for people: rewritten in place on a terminal, one plain line every few seconds elsewhere.
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace flowsmith::core {

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

/// A part of a progress line. Where the line is too narrow for all, those with the largest rank go first: all of rank 2
/// and more, then the bar, then rank 1.
struct ProgressPart {
  std::string text;
  int rank = 0;
};

/// "[######--------]  43 %  1.1990 bits/dim  ETA 2:11" in at most `width` columns: as many parts as fit, and a bar of
/// up to 30 columns if 12 are left for it. `share` is that of the work that is done, 0 to 1; nobody knows it: no bar.
inline std::string progress_text(std::optional<double> share, std::vector<ProgressPart> parts, int width) {
  constexpr int kLeastBar = 12, kLongestBar = 30;
  char percent[16] = "";
  if (share) {
    share = std::isfinite(*share) ? std::clamp(*share, 0.0, 1.0) : 0;
    std::snprintf(percent, sizeof percent, "%3d %%", int(100 * *share));
  }
  const auto columns = [&] {
    std::size_t sum = std::string_view(percent).size();
    for (const ProgressPart& part : parts) sum += 2 + part.text.size();
    return int(sum);
  };
  const auto drop = [&](int needed, int least_rank) {
    while (columns() + needed > width) {
      const auto last =
          std::max_element(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.rank < b.rank; });
      if (last == parts.end() || last->rank < least_rank) return;
      parts.erase(last);
    }
  };
  drop(kLeastBar + 1, 2);
  drop(0, 1);  // no bar, then
  std::string text;
  const int bar = std::min(kLongestBar, width - columns() - 1) - 2;
  if (share && bar + 2 >= kLeastBar) {
    const int done = int(std::lround(*share * bar));
    text = "[" + std::string(done, '#') + std::string(bar - done, '-') + "] ";
  }
  text += percent;
  for (const ProgressPart& part : parts) text += (text.empty() ? "" : "  ") + part.text;
  return text.substr(0, std::size_t(std::max(width, 0)));
}

/// Columns of the terminal that a stream leads to, as they are now: people resize windows.
inline int terminal_columns(std::FILE* stream) {
  winsize size{};
  constexpr int kUsual = 80, kLeast = 40;
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsual;
  return std::max<int>(size.ws_col, kLeast);
}

class ProgressLine {
 public:
  explicit ProgressLine(std::FILE* stream) : stream_(stream), terminal_(takes_control_sequences(stream)) {}
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// Shows progress now, or leaves it out if the last one is too recent and `important` is false. Elsewhere than on a
  /// terminal it is a line of its own: in the first minute every 5 seconds, then every 30.
  void show(std::optional<double> share, const std::vector<ProgressPart>& parts, bool important = false) {
    const auto now = std::chrono::steady_clock::now();
    const auto since = [&](auto time) { return std::chrono::duration<double>(now - time).count(); };
    const double gap = terminal_ ? 0.1 : since(start_) < 60 ? 5 : 30;  // seconds
    if (!important && shown_ && since(last_) < gap) return;
    last_ = now;
    shown_ = true;
    if (terminal_) {
      // The last column stays free: some terminals begin a new line there.
      std::fprintf(stream_, "\r\033[K%s", coloured(progress_text(share, parts, terminal_columns(stream_) - 1)).c_str());
      open_ = true;
    } else {
      constexpr int kAnyWidth = 1000;
      const std::string text = progress_text(share, parts, kAnyWidth);
      std::fprintf(stream_, "%s\n", text.substr(share ? text.find(']') + 2 : 0).c_str());  // without the bar
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
  static bool takes_control_sequences(std::FILE* stream) {
    const char* const term = std::getenv("TERM");
    return isatty(fileno(stream)) && (term == nullptr || std::string_view(term) != "dumb");
  }

  /// With a green bar, unless NO_COLOR is set (no-color.org).
  static std::string coloured(const std::string& text) {
    const char* const no_color = std::getenv("NO_COLOR");
    const std::size_t end = text.find(']');
    if ((no_color != nullptr && *no_color != '\0') || !text.starts_with("[") || end == std::string::npos) return text;
    return "\033[32m" + text.substr(0, end + 1) + "\033[0m" + text.substr(end + 1);
  }

  std::FILE* stream_;
  bool terminal_;
  bool shown_ = false, open_ = false;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_;
};

/// Progress of a count towards a total, with an ETA from the speed so far. Nothing is shown in the first second, nor
/// when all is done: what a tool prints next says so.
class CountProgress {
 public:
  CountProgress(std::string what, std::size_t total) : what_(std::move(what)), total_(total) {}

  void set_total(std::size_t total) { total_ = total; }

  /// `done` may be a fraction, within a batch.
  void update(double done) {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    if (seconds < 1 || done == 0 || done >= double(total_)) return;
    const double eta = seconds * (double(total_) - done) / done;
    line_.show(done / double(total_),
               {{what_ + " " + std::to_string(std::size_t(done)) + "/" + std::to_string(total_), 1},
                {"ETA " + clock_text(eta)}});
  }

 private:
  std::string what_;
  std::size_t total_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  ProgressLine line_{stderr};
};

}  // namespace flowsmith::core
