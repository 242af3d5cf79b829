// Examples that people bring: a PNG file, a folder of PNG files, an array (.npy, .npz) or an IDX file of images.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/npy.h"
#include "models/flow.h"

namespace flowsmith::core {

/// Some of the examples, in the order in which they come, numbered from 0 over all of them.
struct ExamplePiece {
  std::vector<std::uint8_t> pixels;
  std::vector<double> values;
  std::vector<std::uint32_t> index;
  std::vector<std::string> files;  ///< of each, where each has its own

  Batch batch() const {
    return {pixels.empty() ? nullptr : pixels.data(), index.data(), int(index.size()),
            values.empty() ? nullptr : values.data()};
  }
};

/// Reads piece by piece: any number of examples takes the memory of one piece (those of an IDX file that of its
/// pixels). An array is N x H x W (x 3 in colour) or N x 1 x H x W for a flow of images, and N x D for one of numbers.
/// Colour and grey PNG images become what the flow takes.
class ExampleFiles {
 public:
  /// `scale`: of an array of images, the number that is white, 1 or 255; 0: it must hold uint8. Throws Error naming the
  /// file if it does not hold what the flow takes.
  ExampleFiles(const std::string& path, const Flow& flow, double scale = 0);

  std::size_t count() const { return count_; }
  const std::string& note() const { return note_; }  ///< what people should know of them, or nothing
  bool has_files() const { return !files_.empty(); }
  /// At most n more; none at the end. Throws Error naming the file if a PNG has another size, or a number is not
  /// finite.
  ExamplePiece next(std::size_t n);

 private:
  [[noreturn]] void fail_size(const std::string& path, int rows, int cols, int channels) const;
  void require_array() const;
  std::vector<double> read_numbers(std::size_t n);
  std::vector<std::uint8_t> pixels_of(const std::vector<double>& numbers) const;
  void add_png(ExamplePiece& piece, const std::string& file) const;

  std::string path_, note_;
  MapShape shape_;  ///< n = 1
  bool images_;
  double scale_;
  std::vector<std::string> files_;
  std::vector<std::uint8_t> pixels_;
  std::optional<NpyFile> array_;
  std::size_t count_ = 0, done_ = 0;
};

}  // namespace flowsmith::core
