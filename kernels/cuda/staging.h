// What a device reads next, on its way while the device still computes.
#pragma once

#include <cstddef>

#include "kernels/types.h"

namespace flowsmith::core {

/// A block of bytes from the host to a device. It is written into page-locked memory, copied on a stream of its own to
/// a waiting place on the device, and taken from there in the order of the device's work. Functions throw GpuError in
/// one line. `G` is Cuda or Emulated.
template <Gpu G>
class GpuStaging {
 public:
  GpuStaging() = default;
  GpuStaging(const GpuStaging&) = delete;
  GpuStaging& operator=(const GpuStaging&) = delete;
  ~GpuStaging();

  /// Where the next block of so many bytes is to be written. Waits until the last one has left this memory.
  std::byte* begin(std::size_t bytes);
  /// Starts the copy.
  void send();
  /// Work put on the stream from now on finds the block at `to`, in device memory.
  void take(void* to);

 private:
  void grow(std::size_t bytes);
  void release() noexcept;

  std::size_t bytes_ = 0, capacity_ = 0;
  std::byte* pinned_ = nullptr;
  void* waiting_ = nullptr;                  ///< on the device
  void* stream_ = nullptr;                   ///< of the copy
  void *sent_ = nullptr, *taken_ = nullptr;  ///< events: the last copies to and from `waiting_` are done
};

}  // namespace flowsmith::core
