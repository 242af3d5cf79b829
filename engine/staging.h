// Input of the next piece of work, written by the host while a GPU is busy with this one.
#pragma once

#include <cstddef>
#include <memory>

#include "engine/device.h"

namespace flowsmith::core {

/// One block of bytes at a time: begin(), write, send(), take(). On a GPU the copy runs beside the work in hand
/// (kernels/cuda/staging.h); on a host device it is made by take().
class Staging {
 public:
  static std::unique_ptr<Staging> make(Device device);
  virtual ~Staging() = default;

  /// Where the next block of so many bytes is to be written. Waits until the last one has left this memory.
  virtual std::byte* begin(std::size_t bytes) = 0;
  /// Starts the copy.
  virtual void send() = 0;
  /// Work that follows finds the block at `to`, in the memory of the device.
  virtual void take(void* to) = 0;
};

}  // namespace flowsmith::core
