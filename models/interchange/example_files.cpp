#include "models/interchange/example_files.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "data/channels.h"
#include "data/idx.h"
#include "data/png.h"
#include "data/sources.h"

namespace flowsmith::core {
namespace {

bool begins_with(const std::string& path, std::string_view bytes) {
  if (is_descriptor(path)) return false;  // what is read there is gone
  InputFile file(path);
  std::string start(bytes.size(), '\0');
  return file.read(std::as_writable_bytes(std::span(start))) == bytes.size() && start == bytes;
}
bool looks_like_idx(const std::string& path) {
  using namespace std::literals;
  return begins_with(path, "\0\0\x08"sv) || begins_with(path, "\x1f\x8b"sv);
}

}  // namespace

ExampleFiles::ExampleFiles(const std::string& path, const Flow& flow, double scale)
    : path_(path), shape_(flow.data_shape(1)), images_(flow.takes_images()), scale_(scale) {
  std::error_code ignored;
  if (images_ && std::filesystem::is_directory(path, ignored)) {
    files_ = png_files(path);
    if (files_.empty()) throw Error(path + ": there is no .png file in this folder");
    count_ = files_.size();
  } else if (images_ && begins_with(path, "\x89PNG")) {
    files_ = {path};
    count_ = 1;
  } else if (images_ && looks_like_idx(path)) {
    IdxImages idx = read_upright_images(path, note_);
    if (idx.rows != shape_.h || idx.cols != shape_.w || shape_.c != 1) fail_size(path, idx.rows, idx.cols, 1);
    count_ = std::size_t(idx.count);
    pixels_ = std::move(idx.pixels);
  } else {
    array_.emplace(path);
    require_array();
    count_ = std::size_t(array_->shape()[0]);
  }
}

void ExampleFiles::fail_size(const std::string& path, int rows, int cols, int channels) const {
  const auto text = [](int h, int w, int c) {
    return std::to_string(h) + " x " + std::to_string(w) + (c > 1 ? " x " + std::to_string(c) : "");
  };
  throw Error(path + ": has images of " + text(rows, cols, channels) + " and the model takes " +
              text(shape_.h, shape_.w, shape_.c) + ": give images of that size, or other weights");
}

void ExampleFiles::require_array() const {
  const std::vector<std::int64_t>& found = array_->shape();
  const std::int64_t n = found.empty() ? 0 : found[0];
  const auto is = [&](const std::vector<std::int64_t>& shape) { return found == shape; };
  const bool grey = shape_.c == 1 && (is({n, shape_.h, shape_.w}) || is({n, 1, shape_.h, shape_.w}));
  const bool row = shape_.h == 1 && shape_.w == 1 && is({n, shape_.c});
  const bool fits = n > 0 && n < (1 << 30) && (grey || row || is({n, shape_.h, shape_.w, shape_.c}));
  const std::string& dtype = array_->dtype();
  if (fits && images_ && dtype != "U8" && scale_ == 0) {
    throw Error(path_ + ": holds " + dtype + " and not bytes: say which number is white, 1 or 255");
  }
  if (fits) return;
  const bool map = shape_.h * shape_.w > 1;
  throw Error(path_ + ": holds " + dtype + " " + shape_text(found) + ", expected " +
              (images_ ? "images N x " : "numbers N x ") +
              (map ? std::to_string(shape_.h) + " x " + std::to_string(shape_.w) : std::to_string(shape_.c)) +
              (map && shape_.c > 1 ? " x " + std::to_string(shape_.c) : ""));
}

void ExampleFiles::add_png(ExamplePiece& piece, const std::string& file) const {
  Image image = read_png(file);
  if (image.rows != shape_.h || image.cols != shape_.w) fail_size(file, image.rows, image.cols, image.channels);
  const std::vector<std::uint8_t> pixels = convert_channels(std::move(image.pixels), image.channels, shape_.c);
  piece.pixels.insert(piece.pixels.end(), pixels.begin(), pixels.end());
  piece.files.push_back(file);
}

std::vector<double> ExampleFiles::read_numbers(std::size_t n) {
  std::vector<std::byte> bytes(n * shape_.size() * dtype_size(array_->dtype()));
  array_->read(bytes);
  return numbers_of(array_->dtype(), bytes);
}

std::vector<std::uint8_t> ExampleFiles::pixels_of(const std::vector<double>& numbers) const {
  const double white = scale_ == 0 ? 255 : scale_;
  std::vector<std::uint8_t> pixels(numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const double value = numbers[i];
    if (!(value >= 0 && value <= white)) {
      char text[96];
      std::snprintf(text, sizeof text, "%g, not a value from 0 to %g: say which number is white, 1 or 255", value,
                    white);
      throw Error(path_ + ": image " + std::to_string(done_ + i / shape_.size()) + " has a pixel of " + text);
    }
    pixels[i] = std::uint8_t(std::lround(value * (255 / white)));
  }
  return pixels;
}

ExamplePiece ExampleFiles::next(std::size_t n) {
  n = std::min(n, count_ - done_);
  ExamplePiece piece;
  for (std::size_t i = 0; i < n; ++i) piece.index.push_back(std::uint32_t(done_ + i));
  if (!files_.empty()) {
    for (std::size_t i = 0; i < n; ++i) add_png(piece, files_[done_ + i]);
  } else if (!array_) {
    const auto begin = pixels_.begin() + std::ptrdiff_t(done_ * shape_.size());
    piece.pixels.assign(begin, begin + std::ptrdiff_t(n * shape_.size()));
  } else if (images_) {
    piece.pixels = pixels_of(read_numbers(n));
  } else {
    piece.values = read_numbers(n);
  }
  for (std::size_t i = 0; i < piece.values.size(); ++i) {
    if (std::isfinite(piece.values[i])) continue;
    throw Error(path_ + ": row " + std::to_string(done_ + i / shape_.size()) +
                ", counted from 0, has a number that is not finite");
  }
  done_ += n;
  return piece;
}

}  // namespace flowsmith::core
