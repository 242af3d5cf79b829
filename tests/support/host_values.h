// Values in the type that a backend computes in.
#pragma once

#include <type_traits>

#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {

/// The oracle computes in double, whatever the others have.
template <class T, class Backend>
using Real = std::conditional_t<std::is_same_v<Backend, Reference>, double, T>;

template <class To, class From>
std::vector<To> as(const std::vector<From>& values) {
  return {values.begin(), values.end()};
}

}  // namespace flowsmith::core::testing
