// Runs a test once for every instruction set that this machine supports and the SIMD kernels are compiled for.
#pragma once

#include <catch2/catch.hpp>

#include "kernels/cpu/simd_targets.h"
//
#include <hwy/highway.h>

#include <type_traits>

#include "kernels/types.h"

namespace flowsmith::testing {

template <class Run>
void for_each_simd_target(const Run& run) {
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    INFO("instruction set " << hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    run();
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
}

/// The oracle computes in double, the host kernels in float.
template <class Backend>
using Real = std::conditional_t<std::is_same_v<Backend, Reference>, double, float>;

template <class T>
std::vector<T> as(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

}  // namespace flowsmith::testing
