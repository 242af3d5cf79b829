// The stream tag that kernels of a GPU take: its stream, its scratch memory, and how networks multiply.
#pragma once

#include "engine/error.h"
#include "kernels/cuda/conv_libraries.h"
#include "kernels/cuda/runtime.h"

namespace flowsmith {

/// Whether this build has the kernels compiled for GPUs.
#ifdef FLOWSMITH_WITH_CUDA
inline constexpr bool kHasCuda = true;
#else
inline constexpr bool kHasCuda = false;
#endif

/// What all work on the GPU of this process shares; there is one, for CUDA itself has one current device per thread.
template <Gpu G>
class GpuContext final : public GpuWorkspace {
 public:
  static GpuContext& instance() {
    static GpuContext context;
    return context;
  }

  G stream() { return {GpuRuntime<G>::stream(), this, precision_, conv_}; }
  void set_precision(NetPrecision precision) { precision_ = precision; }
  ConvAlgorithm conv_algorithm() const { return conv_; }
  /// kCudnn: throws GpuError in one line if a library cannot be loaded, or if the precision is one it does not take.
  void set_conv_algorithm(ConvAlgorithm conv) {
    if (conv == ConvAlgorithm::kCudnn) {
      if (precision_ == NetPrecision::kBf16) {
        throw GpuError("--conv cudnn takes --nets fp32 or tf32: choose one of them, or --conv fused");
      }
      cuda::conv_libraries<G>();
    }
    conv_ = conv;
  }
  /// Whether repeated work is captured into graphs (engine/replay.h).
  void set_graphs(bool graphs) { graphs_ = graphs; }
  bool graphs() const { return graphs_; }

  /// Blocks that became too small are kept until the process ends: captured graphs hold their addresses. Each is twice
  /// its predecessor, so together they are no larger than the last.
  void* reserve(std::size_t bytes) override {
    if (bytes > size_) {
      const std::size_t size = bytes > 2 * size_ ? bytes : 2 * size_;
      try {
        block_ = GpuRuntime<G>::allocate(size);
      } catch (const GpuOutOfMemory& error) {
        throw OutOfMemory("out of memory for the kernels: " + std::string(error.what()) + "; choose a smaller batch");
      }
      size_ = size;
    }
    return block_;
  }

 private:
  GpuContext() = default;

  void* block_ = nullptr;
  std::size_t size_ = 0;
  NetPrecision precision_ = NetPrecision::kFp32;
  ConvAlgorithm conv_ = ConvAlgorithm::kFused;
  bool graphs_ = true;
};

}  // namespace flowsmith
