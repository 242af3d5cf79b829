// The one exception of the library.
#pragma once

#include <stdexcept>
#include <string>

#include "flowsmith/export.h"

namespace flowsmith {

/// What went wrong, for programs; the message says it to people.
enum class ErrorCode {
  kInvalidInput = 1,  ///< an argument, a configuration or data that the call cannot take
  kFile = 2,          ///< a file is missing, may not be read or written, or is damaged
  kOutOfMemory = 3,   ///< the host or the GPU has no room for what was asked
  kNotFinite = 4,     ///< the flow computed a value that is not finite: damaged weights, or a training that diverged
  kDevice = 5,        ///< there is no such device, or the GPU failed
  kInternal = 6,      ///< a fault of the library
};

/// Says in one line what is wrong, where (the file, tensor or setting), and what to do about it. The tools print it,
/// with the option that helps where there is one, and exit with code 2; a program that embeds the library decides for
/// itself.
class FLOWSMITH_API Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ErrorCode code = ErrorCode::kInvalidInput)
      : std::runtime_error(message), code_(code) {}

  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace flowsmith
