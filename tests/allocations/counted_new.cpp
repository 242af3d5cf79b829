#include "tests/allocations/counted_new.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace flowsmith::testing {
namespace {

std::atomic<bool> counting{false};
std::atomic<int> count{0};

}  // namespace

void start_counting() {
  count = 0;
  counting = true;
}

int stop_counting() {
  counting = false;
  return count;
}

static void* allocate(std::size_t size, std::size_t alignment) {
  if (counting.load(std::memory_order_relaxed)) ++count;
  void* const memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace flowsmith::testing

// All other forms of new and delete come down to these.
void* operator new(std::size_t size) { return flowsmith::testing::allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return flowsmith::testing::allocate(size, std::size_t(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
