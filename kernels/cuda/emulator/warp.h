// One warp of the running block: which lanes can run, and the collective operation that the others wait for.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/cuda/emulator/device_functions.h"

namespace flowsmith::core::emulator {

inline constexpr unsigned kAllLanes = ~0u;

/// Calls f(lane) for each lane of a mask.
template <class F>
void for_each_lane(unsigned mask, F&& f) {
  for (; mask != 0; mask &= mask - 1) f(std::countr_zero(mask));
}

struct Warp {
  unsigned runnable = 0;    ///< bit p: the lane at place p of the order can run
  unsigned cursor = 0;      ///< the place of the order where the sweep goes on
  unsigned collecting = 0;  ///< lanes that wait in a collective
  unsigned at_barrier = 0;
  unsigned gone = 0;  ///< lanes that returned or never were
  std::uint16_t barriers = 0;
  std::uint8_t order[32];     ///< lanes in the order of the sweep
  std::uint8_t position[32];  ///< its inverse
  unsigned mask[32];          ///< what each collecting lane asked for
  const void* in[32];
  void* out[32];
  Place place[32];  ///< where a lane waits

  void wake(unsigned lanes) {
    if (lanes == kAllLanes) {
      runnable = kAllLanes;
    } else {
      for_each_lane(lanes, [this](int lane) { runnable |= 1u << position[lane]; });
    }
  }
  /// The next lane of the sweep, which is no longer runnable then; -1 if none is.
  int next_lane() {
    if (runnable == 0) return -1;
    const unsigned ahead = cursor < 32 ? runnable & (kAllLanes << cursor) : 0;
    const int at = std::countr_zero(ahead != 0 ? ahead : runnable);
    runnable &= ~(1u << at);
    cursor = unsigned(at) + 1;
    return order[at];
  }
};

}  // namespace flowsmith::core::emulator
