// Working memory of the host kernels.
#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <new>
#include <vector>

namespace flowsmith::core::cpu {

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

/// What the ScratchVectors of a thread gave back, for its next ones: once warm, they cost no call of the system.
inline std::pmr::memory_resource& scratch_pool() {
  static thread_local std::pmr::unsynchronized_pool_resource pool(
      {.max_blocks_per_chunk = 0, .largest_required_pool_block = 4u << 20});
  return pool;
}

template <class T>
struct ScratchAllocator {
  using value_type = T;
  ScratchAllocator() = default;
  template <class U>
  ScratchAllocator(const ScratchAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(scratch_pool().allocate(n * sizeof(T), alignof(T))); }
  void deallocate(T* data, std::size_t n) { scratch_pool().deallocate(data, n * sizeof(T), alignof(T)); }
  bool operator==(const ScratchAllocator&) const { return true; }
};

/// A vector inside a kernel. The thread that made it must also destroy it.
template <class T>
using ScratchVector = std::vector<T, ScratchAllocator<T>>;

}  // namespace flowsmith::core::cpu
