// What fails on a GPU, for code that does not see CUDA itself.
#pragma once

#include <stdexcept>

namespace flowsmith {

/// A call of the CUDA runtime failed, or a kernel did. One line: what, the expression, its place.
class GpuError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The memory of the GPU is full.
class GpuOutOfMemory : public GpuError {
 public:
  using GpuError::GpuError;
};

}  // namespace flowsmith
