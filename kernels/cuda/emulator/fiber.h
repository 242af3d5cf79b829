// Fibers: stacks of their own, switched by hand. One per thread of a block that waits for others.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace flowsmith::core::emulator {

inline constexpr std::size_t kFiberStackBytes = 128 * 1024;
inline constexpr int kMaxFibers = 1024;  ///< one block

/// Where to go on: of a fiber, or of the thread that switched to one.
struct Context {
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t registers;
#endif
  const void* stack = nullptr;  ///< lowest byte
  std::size_t stack_bytes = 0;
  void* fake_stack = nullptr;  ///< AddressSanitizer's
};

/// Fibers that all run the same function, which never returns. Their stacks lie in one region, each below a page
/// that cannot be touched.
class FiberPool {
 public:
  explicit FiberPool(void (*main)());
  FiberPool(const FiberPool&) = delete;

  Context* take() { return idle_[--idle_count_]; }
  /// The fiber may be the running one: who takes it resumes it where it left.
  void put(Context* fiber) { idle_[idle_count_++] = fiber; }
  /// Forgets what all fibers were doing. Not to be called on a fiber.
  void reset();

  bool holds(const void* address) const { return address >= region_ && address < region_ + kMaxFibers * kFiberSpacing; }

 private:
  static constexpr std::size_t kGuardBytes = 4096;
  static constexpr std::size_t kFiberSpacing = kFiberStackBytes + kGuardBytes;
  void start(int fiber);

  void (*main_)();
  char* region_;
  Context fibers_[kMaxFibers];
  Context* idle_[kMaxFibers];
  int idle_count_ = 0;
};

/// Leaves `from`, which is running, for `to`. Returns when something switches back.
void switch_context(Context& from, Context& to);
/// To be called first on a new fiber.
void arrived();
/// The stack that this is called on, to switch back to it.
void describe_this_stack(Context& context);

}  // namespace flowsmith::core::emulator
