#include "tools/pictures/axis.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace flowsmith::core {
namespace {

// Beyond these, differences and quotients would leave what a double can hold.
constexpr double kLargest = 1e300, kSmallest = 1e-300;

/// The smallest of 1, 2 and 5 times a power of ten that is not below `value`.
double round_step(double value) {
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= value * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

}  // namespace

Scale::Scale(Range range, bool logarithmic) : range_(range), logarithmic_(logarithmic) {
  if (!(std::abs(range_.low) < kLargest && std::abs(range_.high) < kLargest)) range_ = {0, 1};
  if (range_.high < range_.low) std::swap(range_.low, range_.high);
  if (logarithmic_) {
    if (range_.high < kSmallest) range_ = {1, 10};
    range_.low = std::max(range_.low, std::max(kSmallest, range_.high * 1e-12));
    if (range_.high <= range_.low * (1 + 1e-9)) range_ = {range_.low / 2, range_.high * 2};
  } else if (range_.length() <= 1e-12 * std::max(std::abs(range_.low), std::abs(range_.high)) ||
             range_.length() < kSmallest) {
    const double margin = std::max(std::abs(range_.low) * 0.1, 0.5);
    range_ = {range_.low - margin, range_.high + margin};
  }
}

double Scale::place(double value) const {
  if (!(std::abs(value) < kLargest)) return std::numeric_limits<double>::quiet_NaN();
  if (!logarithmic_) return (value - range_.low) / range_.length();
  if (!(value > 0)) return std::numeric_limits<double>::quiet_NaN();
  return std::log(value / range_.low) / std::log(range_.high / range_.low);
}

// Within one decade a logarithmic scale is marked like any other.
std::vector<double> Scale::ticks(int most) const {
  most = std::max(most, 1);
  std::vector<double> all;
  if (logarithmic_ && range_.high > 10 * range_.low) {
    const int first = int(std::ceil(std::log10(range_.low) - 1e-9)),
              last = int(std::floor(std::log10(range_.high) + 1e-9));
    const int powers = last - first + 1;
    const int stride = (powers + most - 1) / most;
    const bool between = 3 * (powers + 1) <= most;  // room for 2 and 5 times each power
    for (int power = between ? first - 1 : first; power <= last; power += stride) {
      for (const double factor : {1.0, 2.0, 5.0}) {
        const double value = factor * std::pow(10, power);
        if ((factor == 1 || between) && value >= range_.low * (1 - 1e-9) && value <= range_.high * (1 + 1e-9)) {
          all.push_back(value);
        }
      }
    }
    return all;
  }
  const double step = round_step(range_.length() / most);
  const double slack = 1e-9 * range_.length();
  for (double k = std::ceil((range_.low - slack) / step); k * step <= range_.high + slack; k += 1) {
    all.push_back(k == 0 ? 0 : k * step);
  }
  return all;
}

std::string tick_text(double value, double step) {
  char text[40];
  const double size = std::max(std::abs(value), std::abs(step));
  if (value != 0 && (size >= 1e6 || size < 1e-4)) {
    std::snprintf(text, sizeof text, "%.3g", value);
    return text;
  }
  // As many digits as the step needs.
  int decimals = 0;
  for (double power = 1; step > 0 && decimals < 6; ++decimals, power *= 10) {
    if (std::abs(std::round(step * power) - step * power) < 0.01 * step * power) break;
  }
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

}  // namespace flowsmith::core
