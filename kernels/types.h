// What every kernel header shares: the stream tags that choose a backend, gradient destinations and
// the shape of a batch of feature maps.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#define FLOWSMITH_HD __host__ __device__
#else
#define FLOWSMITH_HD
#endif

namespace flowsmith {

/// The last argument of every kernel says where it runs.
/// Reference: plain loops on the host, float and double: slow, obvious, the oracle of all others.
struct Reference {};
/// Cpu: threaded and vectorised host kernels, networks in float.
struct Cpu {};

/// What a backward kernel does with a gradient that may already hold another consumer's share.
enum class GradMode { kOverwrite, kAccumulate };

/// Destination of a gradient. A null `data` means that nobody asked for it.
template <class T>
struct Grad {
  T* data = nullptr;
  GradMode mode = GradMode::kOverwrite;

  explicit operator bool() const { return data != nullptr; }
  FLOWSMITH_HD void write(std::size_t i, T value) const {
    data[i] = mode == GradMode::kAccumulate ? data[i] + value : value;
  }
};

/// A batch of NHWC feature maps: element (i, y, x, k) is at ((i*h + y)*w + x)*c + k.
struct MapShape {
  int n = 0;  ///< images
  int h = 0;  ///< rows
  int w = 0;  ///< columns
  int c = 0;  ///< channels

  std::size_t pixels() const { return std::size_t(h) * w; }           ///< of one image
  std::size_t image_size() const { return pixels() * c; }             ///< elements of one image
  std::size_t size() const { return std::size_t(n) * image_size(); }  ///< elements of the batch
};

}  // namespace flowsmith
