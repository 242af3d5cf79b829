// Runs a test once for every instruction set that this machine supports and the SIMD kernels are compiled for.
#pragma once

#include <catch2/catch.hpp>

#include "kernels/cpu/simd_dispatch.h"
//
#include <hwy/highway.h>

#include "kernels/cpu/peak.h"

namespace flowsmith::core::testing {

/// Takes one instruction set for its life, then the one from before again.
class UseSimdTarget {
 public:
  explicit UseSimdTarget(std::int64_t target) { cpu::choose_simd_target(target); }
  ~UseSimdTarget() { cpu::choose_simd_target(before_); }
  UseSimdTarget(const UseSimdTarget&) = delete;
  UseSimdTarget& operator=(const UseSimdTarget&) = delete;

 private:
  std::int64_t before_ = cpu::chosen_simd_target();
};

template <class Run>
void for_each_simd_target(const Run& run) {
  for (const std::int64_t target : cpu::simd_targets()) {
    const UseSimdTarget use(target);
    INFO("instruction set " << hwy::TargetName(target));
    // A kernel says what it was compiled for: this is what runs.
    REQUIRE(cpu::simd_target() == hwy::TargetName(target));
    run();
  }
}

}  // namespace flowsmith::core::testing
