// What every kernel header shares: the stream tags that choose a backend, gradient destinations and
// the shape of a batch of feature maps.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#define FLOWSMITH_HD __host__ __device__
#else
#define FLOWSMITH_HD
#endif

namespace flowsmith::core {

/// The last argument of every kernel says where it runs.
/// Reference: plain loops on the host, float and double: slow, obvious, the oracle of all others.
struct Reference {};
/// What the networks' matrix products multiply. Sums are float in all of them.
enum class NetPrecision {
  kFp32,  ///< float
  kTf32,  ///< float with 10 bits of mantissa, on the tensor cores of a GPU
  kBf16,  ///< bfloat16, on tensor cores, or on a host by AMX or AVX512-BF16
};

/// Cpu: threaded and vectorised host kernels, networks in float.
struct Cpu {
  NetPrecision precision = NetPrecision::kFp32;  ///< not kTf32; kBf16 where the processor has instructions for it
  bool tile_model = false;                       ///< kBf16 by plain loops instead of those instructions: for tests
};

/// Who computes convolutions on a GPU.
enum class ConvAlgorithm {
  kFused,  ///< our kernels, with everything around the product in them where that pays
  kCudnn,  ///< cuDNN (3x3) and cuBLAS (1x1), which are loaded when first needed; kFp32 and kTf32 only
};

/// Scratch memory of the kernels on one stream: what one launcher reserves is its own until the next one reserves.
class GpuWorkspace {
 public:
  /// At least so many bytes, aligned to 256. Repeated requests of one step get the same address, so that a step can be
  /// captured and replayed.
  virtual void* reserve(std::size_t bytes) = 0;

 protected:
  ~GpuWorkspace() = default;
};

/// Where and how the kernels in kernels/cuda/ run.
template <bool kEmulator>
struct GpuStream {
  void* stream = nullptr;  ///< a cudaStream_t
  GpuWorkspace* workspace = nullptr;
  NetPrecision precision = NetPrecision::kFp32;
  ConvAlgorithm conv = ConvAlgorithm::kFused;
};
/// Cuda: on a GPU. Emulated: the same source, run on the host by kernels/cuda/emulator: slow, and strict.
using Cuda = GpuStream<false>;
using Emulated = GpuStream<true>;
template <class T>
concept Gpu = std::same_as<T, Cuda> || std::same_as<T, Emulated>;

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
  MapShape with_images(int count) const { return {count, h, w, c}; }
};

}  // namespace flowsmith::core
