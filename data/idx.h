// The IDX format of the MNIST files (http://yann.lecun.com/exdb/mnist): a big-endian magic number, one size per
// dimension, then the bytes. Plain or compressed with gzip.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace flowsmith::core {

struct IdxImages {
  int count = 0;
  int rows = 0;
  int cols = 0;
  std::vector<std::uint8_t> pixels;  ///< (count, rows, cols)
};

/// Reads an IDX file of three dimensions, of bytes (magic number 0x00000803) or of wider integers that are 0 to 255.
/// Throws an Error that names the file if it is missing, of another kind, empty, over 4 GiB, cut off, damaged (gzip
/// checksum), or longer than its sizes say. Nothing is allocated for pixels that the file cannot hold.
IdxImages read_idx_images(const std::string& path);

/// The same for one dimension (magic number 0x00000801), one number per label, or for two, as QMNIST has them: the
/// label is the first of each row.
std::vector<std::uint8_t> read_idx_labels(const std::string& path);

}  // namespace flowsmith::core
