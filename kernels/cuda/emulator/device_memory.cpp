#include "kernels/cuda/emulator/device_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "kernels/cuda/emulator/asan.h"
#include "kernels/cuda/emulator/emulator.h"
#include "kernels/cuda/emulator/error.h"
#include "kernels/cuda/emulator/race_shadow.h"

namespace flowsmith::core::emulator {

namespace {

/// Of pages of this size mprotect walks few, where a processor has no protection keys.
constexpr std::size_t kHugePage = 2u << 20;

/// What an allocation takes of the region: itself and a gap.
std::size_t with_gap(std::size_t bytes) {
  constexpr std::size_t kUnit = DeviceMemory::kAlignment;
  return (bytes + kUnit - 1) / kUnit * kUnit + kUnit;
}

}  // namespace

DeviceMemory::DeviceMemory() {
  void* region = mmap(nullptr, kRegionBytes + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) throw_error("the emulator cannot reserve address space for device memory");
  std::size_t space = kRegionBytes + kHugePage;
  region_ = static_cast<char*>(std::align(kHugePage, kRegionBytes, region, space));
  madvise(region_, kRegionBytes, MADV_HUGEPAGE);  // advice only: without it kernels start more slowly
  free_.emplace(0, kRegionBytes);
#if defined(__x86_64__)
  // A protection key opens and closes the region in some cycles.
  key_ = pkey_alloc(0, PKEY_DISABLE_ACCESS);
#else
  key_ = -1;
#endif
}

void DeviceMemory::protect(bool open) const {
#if defined(__x86_64__)
  if (key_ >= 0) {
    pkey_set(key_, open ? 0 : PKEY_DISABLE_ACCESS);
    return;
  }
#endif
  mprotect(region_, opened_, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

std::size_t DeviceMemory::take(std::size_t bytes) {
  const auto found = std::find_if(free_.begin(), free_.end(), [&](const auto& range) { return range.second >= bytes; });
  if (found == free_.end()) return kRegionBytes;
  const auto [offset, size] = *found;
  free_.erase(found);
  if (size > bytes) free_.emplace(offset + bytes, size - bytes);
  return offset;
}

/// Makes the region usable up to `end`.
void DeviceMemory::extend(std::size_t end) {
  end = (end + kHugePage - 1) / kHugePage * kHugePage;
  if (end <= opened_) return;
  char* const from = region_ + opened_;
#if defined(__x86_64__)
  const int error = key_ >= 0 ? pkey_mprotect(from, end - opened_, PROT_READ | PROT_WRITE, key_)
                              : mprotect(from, end - opened_, PROT_READ | PROT_WRITE);
#else
  const int error = mprotect(from, end - opened_, PROT_READ | PROT_WRITE);
#endif
  if (error != 0) throw_error("the emulator cannot map its device memory");
  opened_ = end;
}

void* DeviceMemory::allocate(std::size_t bytes) {
  const DeviceAccess access;
  if (bytes > limit_ || used_ > limit_ - bytes) return nullptr;
  const std::size_t whole = with_gap(bytes), offset = take(whole);
  if (offset == kRegionBytes) return nullptr;
  extend(offset + whole);
  char* const memory = region_ + offset;
  live_.emplace(offset, bytes);
  used_ += bytes;
  forbid(memory, whole);
  permit(memory, bytes);
  allocate_shadow(memory, bytes);
  std::memset(memory, schedule().poison, bytes);
  return memory;
}

std::size_t DeviceMemory::release(void* memory) {
  const DeviceAccess access;
  const auto found = live_.find(std::size_t(static_cast<char*>(memory) - region_));
  if (found == live_.end()) return 0;
  const auto [offset, bytes] = *found;
  std::memset(memory, 0xff, bytes);
  forbid(memory, bytes);
  release_shadow(memory, bytes);
  live_.erase(found);
  used_ -= bytes;
  auto range = free_.emplace(offset, with_gap(bytes)).first;
  if (const auto next = std::next(range); next != free_.end() && range->first + range->second == next->first) {
    range->second += next->second;
    free_.erase(next);
  }
  if (range != free_.begin()) {
    if (const auto before = std::prev(range); before->first + before->second == range->first) {
      before->second += range->second;
      free_.erase(range);
    }
  }
  return bytes;
}

bool DeviceMemory::holds(const void* memory, std::size_t bytes) const {
  const auto* start = static_cast<const char*>(memory);
  if (start < region_ || start >= region_ + kRegionBytes) return false;
  const auto offset = std::size_t(start - region_);
  auto range = live_.upper_bound(offset);
  if (range == live_.begin()) return false;
  --range;
  return offset - range->first <= range->second && bytes <= range->second - (offset - range->first);
}

DeviceMemory& device_memory() {
  static DeviceMemory& memory = *new DeviceMemory;  // outlives every destructor that may still free some
  return memory;
}

DeviceAccess::DeviceAccess() { device_memory().protect(true); }
DeviceAccess::~DeviceAccess() { device_memory().protect(false); }

}  // namespace flowsmith::core::emulator
