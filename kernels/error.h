// The one exception of the library, and the kinds of it that somebody tells apart.
#pragma once

#include <stdexcept>
#include <string>

namespace flowsmith {

/// Says in one line what is wrong, where (the file, tensor or setting), and what to do about it. The tools
/// print it, with the option that helps where there is one, and exit with code 2; a program that embeds the library
/// decides for itself.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A device has no room for what a step needs.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// A call of the CUDA runtime failed, or a kernel did: what, the expression, its place.
class GpuError : public Error {
 public:
  using Error::Error;
};

/// cuDNN or cuBLAS is missing, or does not do what our own kernels do: ConvAlgorithm::kFused is the way out.
class ConvLibraryError : public GpuError {
 public:
  using GpuError::GpuError;
};

}  // namespace flowsmith
