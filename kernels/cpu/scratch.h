// Working memory of the host kernels.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace flowsmith::cpu {

/// A block of numbers, 64-byte aligned, that grows and never shrinks: declared `static thread_local` where it is used,
/// it costs nothing once warm, and two threads never share one.
template <class T>
class BasicScratch {
 public:
  /// At least `size` numbers, contents unspecified. Invalidates what an earlier call returned.
  T* reserve(std::size_t size) {
    if (size > capacity_) {
      data_.reset();  // first, so that the peak is one block and not two
      capacity_ = 0;
      data_.reset(static_cast<T*>(::operator new(size * sizeof(T), kAlignment)));
      capacity_ = size;
    }
    return data_.get();
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(T* data) const { ::operator delete(data, kAlignment); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t capacity_ = 0;
};
using Scratch = BasicScratch<float>;

}  // namespace flowsmith::cpu
