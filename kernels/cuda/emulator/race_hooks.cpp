#include "kernels/cuda/emulator/race_hooks.h"

#if defined(FLOWSMITH_EMULATOR_RACE)

#include <cstdint>

using flowsmith::core::emulator::check_access;

#define FLOWSMITH_CODE __builtin_return_address(0)
#define FLOWSMITH_HOOKS(bytes)                                                                            \
  void __tsan_read##bytes(void* memory) { check_access(memory, bytes, false, FLOWSMITH_CODE); }           \
  void __tsan_write##bytes(void* memory) { check_access(memory, bytes, true, FLOWSMITH_CODE); }           \
  void __tsan_unaligned_read##bytes(void* memory) { check_access(memory, bytes, false, FLOWSMITH_CODE); } \
  void __tsan_unaligned_write##bytes(void* memory) { check_access(memory, bytes, true, FLOWSMITH_CODE); }
// Atomics are the launchers' (reference counts, guards of statics): device code of this project has none.
#define FLOWSMITH_ATOMICS(bits, T)                                                                                  \
  T __tsan_atomic##bits##_load(const volatile T* memory, int) { return __atomic_load_n(memory, __ATOMIC_SEQ_CST); } \
  void __tsan_atomic##bits##_store(volatile T* memory, T value, int) {                                              \
    __atomic_store_n(memory, value, __ATOMIC_SEQ_CST);                                                              \
  }                                                                                                                 \
  T __tsan_atomic##bits##_exchange(volatile T* memory, T value, int) {                                              \
    return __atomic_exchange_n(memory, value, __ATOMIC_SEQ_CST);                                                    \
  }                                                                                                                 \
  T __tsan_atomic##bits##_fetch_add(volatile T* memory, T value, int) {                                             \
    return __atomic_fetch_add(memory, value, __ATOMIC_SEQ_CST);                                                     \
  }                                                                                                                 \
  T __tsan_atomic##bits##_fetch_sub(volatile T* memory, T value, int) {                                             \
    return __atomic_fetch_sub(memory, value, __ATOMIC_SEQ_CST);                                                     \
  }                                                                                                                 \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* memory, T* expected, T value, int, int) {           \
    return __atomic_compare_exchange_n(memory, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);         \
  }

// Called by what GCC makes of device code.
extern "C" {
FLOWSMITH_HOOKS(1)
FLOWSMITH_HOOKS(2)
FLOWSMITH_HOOKS(4)
FLOWSMITH_HOOKS(8)
FLOWSMITH_HOOKS(16)
FLOWSMITH_ATOMICS(8, std::uint8_t)
FLOWSMITH_ATOMICS(32, std::uint32_t)
FLOWSMITH_ATOMICS(64, std::uint64_t)
void __tsan_read_range(void* memory, unsigned long bytes) { check_access(memory, bytes, false, FLOWSMITH_CODE); }
void __tsan_write_range(void* memory, unsigned long bytes) { check_access(memory, bytes, true, FLOWSMITH_CODE); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}

#endif
