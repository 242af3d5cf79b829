// Working memory of the host kernels.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace flowsmith::cpu {

/// A block of floats, 64-byte aligned, that grows and never shrinks: declared `static thread_local` where it is used,
/// it costs nothing once warm, and two threads never share one.
class Scratch {
 public:
  /// At least `size` floats, contents unspecified. Invalidates what an earlier call returned.
  float* reserve(std::size_t size) {
    if (size > capacity_) {
      data_.reset();  // first, so that the peak is one block and not two
      capacity_ = 0;
      data_.reset(static_cast<float*>(::operator new(size * sizeof(float), kAlignment)));
      capacity_ = size;
    }
    return data_.get();
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(float* data) const { ::operator delete(data, kAlignment); }
  };
  std::unique_ptr<float, Free> data_;
  std::size_t capacity_ = 0;
};

}  // namespace flowsmith::cpu
