// The message of the Error that a call throws.
#pragma once

#include <catch2/catch.hpp>
#include <string>

#include "kernels/error.h"

namespace flowsmith::core {

/// Calls `call`, which must throw an Error of one line, and returns that line. Anything else fails the test.
template <class Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    const std::string message = error.what();
    INFO(message);
    REQUIRE(message.find('\n') == std::string::npos);
    REQUIRE_FALSE(message.empty());
    return message;
  }
  FAIL("no Error was thrown");
  return "";
}

}  // namespace flowsmith::core
