// Device memory: one region of addresses that only kernels and copies can touch. Host code that dereferences a device
// pointer dies of SIGSEGV at that line.
#pragma once

#include <cstddef>
#include <map>

#include "kernels/cuda/emulator/race_shadow.h"

namespace flowsmith::core::emulator {

class DeviceMemory {
 public:
  /// The race build remembers 40 bytes and more for each of them.
  static constexpr std::size_t kRegionBytes = std::size_t(kRaceChecks ? 1 : 8) << 30;
  static constexpr std::size_t kAlignment = 256;

  DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;

  /// Filled with the schedule's poison, followed by a gap. Null: it does not fit.
  void* allocate(std::size_t bytes);
  /// Returns the bytes it had; 0: `memory` is not the start of an allocation.
  std::size_t release(void* memory);
  /// Whether all of it lies in one allocation.
  bool holds(const void* memory, std::size_t bytes) const;
  const char* region() const { return region_; }

  void set_limit(std::size_t bytes) { limit_ = bytes < kRegionBytes ? bytes : kRegionBytes; }
  std::size_t limit() const { return limit_; }
  std::size_t used() const { return used_; }

 private:
  friend class DeviceAccess;
  void protect(bool open) const;
  void extend(std::size_t end);
  /// Offset of a free range, which is taken from the free ones. kRegionBytes: there is none.
  std::size_t take(std::size_t bytes);

  char* region_;
  int key_;                 ///< protection key of the region; -1 if the CPU has none
  std::size_t opened_ = 0;  ///< bytes at the front of the region that have ever been given out
  std::size_t limit_ = kRegionBytes, used_ = 0;
  std::map<std::size_t, std::size_t> free_;  ///< offset to bytes, neither adjacent
  std::map<std::size_t, std::size_t> live_;  ///< offset to bytes asked for
};

DeviceMemory& device_memory();

/// While one exists, device memory can be touched.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
};

}  // namespace flowsmith::core::emulator
