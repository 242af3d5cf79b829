// The kinds of the library's exception (flowsmith/error.h) that somebody tells apart.
#pragma once

#include "flowsmith/error.h"

namespace flowsmith::core {

using flowsmith::Error, flowsmith::ErrorCode;

/// A device has no room for what a step needs.
class OutOfMemory : public Error {
 public:
  explicit OutOfMemory(const std::string& message) : Error(message, ErrorCode::kOutOfMemory) {}
};

/// A call of the CUDA runtime failed, or a kernel did: what, the expression, its place.
class GpuError : public Error {
 public:
  explicit GpuError(const std::string& message) : Error(message, ErrorCode::kDevice) {}
};

/// cuDNN or cuBLAS is missing, or does not do what our own kernels do: ConvAlgorithm::kFused is the way out.
class ConvLibraryError : public GpuError {
 public:
  using GpuError::GpuError;
};

}  // namespace flowsmith::core
