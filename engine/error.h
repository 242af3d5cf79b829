// The one exception of the library.
#pragma once

#include <stdexcept>
#include <string>

namespace flowsmith {

/// Says in one line what is wrong, where (the file, tensor or option), and what to do about it. The tools
/// print it and exit with code 2; a program that embeds the library decides for itself.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A device has no room for what a step needs.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

}  // namespace flowsmith
