#include "tests/allocations/counted_new.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace flowsmith::core::testing {
namespace {

std::atomic<bool> counting{false};
std::atomic<int> count{0};

void* try_allocate(std::size_t size, std::size_t alignment) noexcept {
  if (counting.load(std::memory_order_relaxed)) ++count;
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

void* allocate(std::size_t size, std::size_t alignment) {
  void* const memory = try_allocate(size, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

constexpr std::size_t kAlignment = alignof(std::max_align_t);

}  // namespace

void start_counting() {
  count = 0;
  counting = true;
}

int stop_counting() {
  counting = false;
  return count;
}

}  // namespace flowsmith::core::testing

// Every form of new and delete: AddressSanitizer has all of them of its own, and tells where memory from one of its
// forms is given back to one of these.
using flowsmith::core::testing::allocate, flowsmith::core::testing::try_allocate, flowsmith::core::testing::kAlignment;
using std::align_val_t, std::nothrow_t, std::size_t;

void* operator new(size_t size) { return allocate(size, kAlignment); }
void* operator new[](size_t size) { return allocate(size, kAlignment); }
void* operator new(size_t size, align_val_t alignment) { return allocate(size, size_t(alignment)); }
void* operator new[](size_t size, align_val_t alignment) { return allocate(size, size_t(alignment)); }
void* operator new(size_t size, const nothrow_t&) noexcept { return try_allocate(size, kAlignment); }
void* operator new[](size_t size, const nothrow_t&) noexcept { return try_allocate(size, kAlignment); }
void* operator new(size_t size, align_val_t alignment, const nothrow_t&) noexcept {
  return try_allocate(size, size_t(alignment));
}
void* operator new[](size_t size, align_val_t alignment, const nothrow_t&) noexcept {
  return try_allocate(size, size_t(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t, align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, const nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory, align_val_t, const nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, align_val_t, const nothrow_t&) noexcept { std::free(memory); }
