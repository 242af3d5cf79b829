#include "data/scatter.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "data/colour_ramp.h"
#include "engine/file.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

// The density at which a colour ramp ends, as a quantile over the pixels that have any.
constexpr double kBrightest = 0.995;
// Raises low densities, so that single points are seen beside crowds.
constexpr double kGamma = 0.6;

double quantile(std::vector<double>& values, double share) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

// Density per pixel, row by row from the top.
class Canvas {
 public:
  Canvas(int size, PlotSquare square)
      : size_(size), square_(square), density_(static_cast<std::size_t>(size) * static_cast<std::size_t>(size)) {}

  /// Shares the point between the four pixels around it.
  void add(double x, double y) {
    const double column = (x - square_.left) / square_.side * size_ - 0.5;
    const double row = size_ - 0.5 - (y - square_.bottom) / square_.side * size_;
    if (!(column >= 0 && row >= 0 && column < size_ - 1 && row < size_ - 1)) return;
    const int c = static_cast<int>(column), r = static_cast<int>(row);
    const double right = column - c, below = row - r;
    at(r, c) += (1 - below) * (1 - right);
    at(r, c + 1) += (1 - below) * right;
    at(r + 1, c) += below * (1 - right);
    at(r + 1, c + 1) += below * right;
  }

  /// Convolves with a Gaussian of this deviation in pixels: along rows, then along columns.
  void blur(double deviation) {
    const int reach = static_cast<int>(std::ceil(3 * deviation));
    std::vector<double> weights;
    for (int k = -reach; k <= reach; ++k) weights.push_back(std::exp(-k * k / (2 * deviation * deviation)));
    for (int pass = 0; pass < 2; ++pass) {
      std::vector<double> turned(density_.size());  // blurred along rows and transposed: twice is both
      for (int r = 0; r < size_; ++r) {
        for (int c = 0; c < size_; ++c) {
          double sum = 0;
          for (int k = std::max(-reach, -c); k <= std::min(reach, size_ - 1 - c); ++k) {
            sum += weights[k + reach] * at(r, c + k);
          }
          turned[static_cast<std::size_t>(c) * size_ + r] = sum;
        }
      }
      density_ = std::move(turned);
    }
  }

  const std::vector<double>& density() const { return density_; }

 private:
  double& at(int row, int column) { return density_[static_cast<std::size_t>(row) * size_ + column]; }

  int size_;
  PlotSquare square_;
  std::vector<double> density_;
};

double brightest(const std::vector<double>& density) {
  const double largest = *std::max_element(density.begin(), density.end());
  std::vector<double> lit;
  std::copy_if(density.begin(), density.end(), std::back_inserter(lit), [&](double d) { return d > largest * 1e-3; });
  return lit.empty() ? 1 : quantile(lit, kBrightest);
}

Image coloured(const std::vector<double>& density, int size, const ColourRamp& ramp) {
  Image image{size, size, {}, 3};
  image.pixels.reserve(3 * density.size());
  const double scale = brightest(density);
  for (const double d : density) {
    const auto colour = colour_at(ramp, std::pow(std::min(d / scale, 1.0), kGamma));
    image.pixels.insert(image.pixels.end(), colour.begin(), colour.end());
  }
  return image;
}

}  // namespace

PlotSquare square_of(std::span<const double> points, double tail) {
  std::array<std::vector<double>, 2> axes;
  for (std::size_t i = 0; i + 1 < points.size(); i += 2) {
    if (!std::isfinite(points[i]) || !std::isfinite(points[i + 1])) continue;
    axes[0].push_back(points[i]);
    axes[1].push_back(points[i + 1]);
  }
  if (axes[0].empty()) throw Error("there is no finite point to draw; give at least one");
  std::array<double, 2> middle;
  double side = 0;
  for (std::size_t k = 0; k < 2; ++k) {
    const double low = quantile(axes[k], tail), high = quantile(axes[k], 1 - tail);
    middle[k] = low / 2 + high / 2;
    side = std::max(side, 1.15 * (high - low));
  }
  if (!std::isfinite(side)) throw Error("the points lie too far apart to draw; leave the farthest out");
  // One point, or many at one place: a square that numbers of this size can still part.
  if (side == 0) side = std::max({1.0, std::abs(middle[0]), std::abs(middle[1])});
  return {middle[0] - side / 2, middle[1] - side / 2, side};
}

Image draw_scatter(std::span<const double> points, const ScatterOptions& options) {
  if (options.size < 16 || options.size > 8192)
    throw Error("a scatter plot is 16 to 8192 pixels wide; choose its size");
  Canvas canvas(options.size, options.square ? *options.square : square_of(points, options.tail));
  for (std::size_t i = 0; i + 1 < points.size(); i += 2) canvas.add(points[i], points[i + 1]);
  const double count = static_cast<double>(points.size() / 2);
  canvas.blur(options.size / 600.0 * std::clamp(24 / std::pow(std::max(count, 1.0), 0.25), 1.2, 4.0));
  return coloured(canvas.density(), options.size, options.dark ? kDarkRamp : kLightRamp);
}

void write_scatter(const std::string& path, std::span<const double> points, const ScatterOptions& options) {
  write_file_atomically(path, encode_png(draw_scatter(points, options)));
}

}  // namespace flowsmith::core
