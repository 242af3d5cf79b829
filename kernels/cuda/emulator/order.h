// The order in which the scheduler takes blocks, warps and lanes.
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/cuda/emulator/emulator.h"

namespace flowsmith::core::emulator {

/// A small generator (Vigna's SplitMix64): the same permutations everywhere.
class OrderSource {
 public:
  OrderSource(const Schedule& schedule, std::uint64_t stream)
      : order_(schedule.order), state_(schedule.seed * 0x9E3779B97F4A7C15u ^ stream * 0xD1342543DE82EF95u) {}

  /// Fills order[0..count) with a permutation of 0 ... count-1.
  template <class T>
  void fill(T* order, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) order[i] = T(order_ == Order::kReverse ? count - 1 - i : i);
    if (order_ != Order::kShuffled) return;
    for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[next() % i]);
  }
  /// Whether the next permutation differs from the last.
  bool varies() const { return order_ == Order::kShuffled; }

 private:
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

  Order order_;
  std::uint64_t state_;
};

}  // namespace flowsmith::core::emulator
