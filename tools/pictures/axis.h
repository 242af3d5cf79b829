// Numbers along an axis: its range, its ticks and their texts.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace flowsmith::core {

struct Range {
  double low = 0, high = 1;

  double length() const { return high - low; }
};

struct Axis {
  std::string label = "";
  std::optional<Range> range = std::nullopt;  ///< default: what the data take
  bool logarithmic = false;                   ///< only numbers above 0 are drawn then
  bool hidden = false;                        ///< no line, ticks and label
};

/// An axis whose range is known: numbers become shares of its length.
class Scale {
 public:
  /// Ranges without a length, or not finite, are widened to one that has; a logarithmic scale begins above 0.
  Scale(Range range, bool logarithmic);

  const Range& range() const { return range_; }
  /// 0 at the low end, 1 at the high one; not finite where the number has no place: it is not finite itself or over
  /// 1e300, or not above 0 on a logarithmic scale.
  double place(double value) const;
  /// Round numbers within the range, `most` of them or fewer: 1, 2 or 5 times a power of ten apart; on a logarithmic
  /// scale powers of ten, and between them 2 and 5 where there is room.
  std::vector<double> ticks(int most) const;

 private:
  Range range_;
  bool logarithmic_;
};

/// As short as tells it from numbers `step` away: 0.25, 1200, 1e-06.
std::string tick_text(double value, double step);

}  // namespace flowsmith::core
