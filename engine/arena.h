// Memory of one training or scoring step. Allocation moves a pointer; everything is taken back at once.
//
// A step asks for the same sizes in the same order every time, so from its second run on it gets the same
// addresses and the system allocator is not called again.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/device.h"
#include "engine/tensor.h"

namespace flowsmith::core {

class Arena {
 public:
  explicit Arena(Device device = Device::kCpu) : device_(device) {}
  ~Arena();
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&&) = delete;

  /// Uninitialised bytes of the device, aligned to 64 (256 on a GPU). Throws OutOfMemory with the size asked for
  /// when there is no room.
  void* allocate(std::size_t bytes);

  Tensor tensor(DType dtype, const Shape& shape) { return {allocate(shape.size() * dtype_size(dtype)), dtype, shape}; }

  /// A point to return to.
  struct Mark {
    std::size_t block = 0, offset = 0;
  };
  Mark mark() const { return {current_, offset_}; }
  void release(Mark mark);

  /// Takes everything back. If the last round needed several blocks, they become one.
  void reset();

  /// Takes everything back and gives it to the system.
  void give_back();

  std::size_t capacity() const;  ///< bytes held from the system
  /// The most bytes that were handed out at one time since the last reset, and what was left over of full blocks.
  std::size_t peak() const { return peak_; }
  Device device() const { return device_; }

 private:
  struct Block {
    std::byte* data;
    std::size_t size;
  };
  void add_block(std::size_t size);
  std::size_t used() const;

  Device device_;
  std::vector<Block> blocks_;
  std::size_t current_ = 0;  ///< block that `offset_` points into
  std::size_t offset_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace flowsmith::core
