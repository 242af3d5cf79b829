#include "kernels/cuda/emulator/fiber.h"

#include <pthread.h>
#include <sys/mman.h>

#include "kernels/cuda/emulator/asan.h"
#include "kernels/cuda/emulator/error.h"

#if defined(__x86_64__)
// Saves what a call must preserve, changes stacks, restores and returns to where the other side left, where swapcontext
// would make a system call. With `ret` rather than a jump: mostly both sides wait at the same line, so that the CPU's
// prediction of this return and those that follow holds.
extern "C" void flowsmith_emulator_switch(void** save_stack_pointer, void* stack_pointer);
asm(R"(
.text
.globl flowsmith_emulator_switch
.hidden flowsmith_emulator_switch
.type flowsmith_emulator_switch, @function
flowsmith_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size flowsmith_emulator_switch, . - flowsmith_emulator_switch
)");
#endif

namespace flowsmith::core::emulator {

namespace {

/// How far the top of a stack lies below the end of its memory: stacks that all began at the same offset of a page
/// would push each other out of the few lines of a cache set.
std::size_t stagger(int fiber) { return std::size_t(fiber) * 192 % 4096; }

}  // namespace

FiberPool::FiberPool(void (*main)()) : main_(main) {
  void* region =
      mmap(nullptr, kMaxFibers * kFiberSpacing, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) throw_error("the emulator cannot reserve address space for the stacks of its fibers");
  region_ = static_cast<char*>(region);
  for (int fiber = 0; fiber < kMaxFibers; ++fiber) {
    char* stack = region_ + std::size_t(fiber) * kFiberSpacing + kGuardBytes;
    if (mprotect(stack, kFiberStackBytes, PROT_READ | PROT_WRITE) != 0) {
      throw_error("the emulator has no memory for the stacks of its fibers");
    }
  }
  reset();
}

void FiberPool::start(int fiber) {
  Context& context = fibers_[fiber];
  char* stack = region_ + std::size_t(fiber) * kFiberSpacing + kGuardBytes;
  context = {};
  context.stack = stack;
  context.stack_bytes = kFiberStackBytes;
#if defined(__x86_64__)
  // What the switch will pop: six registers and the address of main; above it the alignment that a call leaves.
  void** top = reinterpret_cast<void**>(stack + kFiberStackBytes - stagger(fiber));
  top[-1] = nullptr;
  top[-2] = reinterpret_cast<void*>(main_);
  for (int i = 3; i <= 8; ++i) top[-i] = nullptr;
  context.stack_pointer = top - 8;
#else
  getcontext(&context.registers);
  context.registers.uc_stack.ss_sp = stack;
  context.registers.uc_stack.ss_size = kFiberStackBytes - stagger(fiber);
  context.registers.uc_link = nullptr;
  makecontext(&context.registers, main_, 0);
#endif
}

void FiberPool::reset() {
  for (idle_count_ = 0; idle_count_ < kMaxFibers; ++idle_count_) {
    const int fiber = kMaxFibers - 1 - idle_count_;  // the first is taken first
    start(fiber);
    permit(fibers_[fiber].stack, kFiberStackBytes);
    idle_[idle_count_] = &fibers_[fiber];
  }
}

void switch_context(Context& from, Context& to) {
  if (__sanitizer_start_switch_fiber != nullptr) {
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.stack_bytes);
  }
#if defined(__x86_64__)
  flowsmith_emulator_switch(&from.stack_pointer, to.stack_pointer);
#else
  swapcontext(&from.registers, &to.registers);
#endif
  if (__sanitizer_finish_switch_fiber != nullptr) __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
}

void arrived() {
  if (__sanitizer_finish_switch_fiber != nullptr) __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
}

void describe_this_stack(Context& context) {
  if (__sanitizer_start_switch_fiber == nullptr) return;
  thread_local void* stack = nullptr;
  thread_local std::size_t bytes = 0;
  if (stack == nullptr) {
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &stack, &bytes);
    pthread_attr_destroy(&attributes);
  }
  context.stack = stack;
  context.stack_bytes = bytes;
}

}  // namespace flowsmith::core::emulator
