// Where threads meet, and how one of them ends the kernel.
#include "kernels/cuda/emulator/device_functions.h"

#include "kernels/cuda/emulator/block.h"

namespace flowsmith::core::emulator {

namespace {

/// Ends the kernel. The thread never goes on: what is on its stack is not destroyed.
[[noreturn]] void fail_at(const char* what, const Place* place) {
  Block& b = *running_block;
  running_block = nullptr;  // the standard library's code below may be the copy that the race build checks
  b.error = what;
  if (place != nullptr) b.error += " at " + text_of(*place);
  b.error += " by thread " + text_of(threadIdx);
  switch_context(*b.fiber, b.scheduler);
  __builtin_unreachable();  // the scheduler forgets this fiber
}

[[noreturn]] void fail_at(const char* what, const Place& place) { fail_at(what, &place); }

}  // namespace

void fail(const char* what) { fail_at(what, nullptr); }

void fail_at_code(const char* what, const void* code) {
  running_block->error_code = code;
  fail(what);
}

void* shared_variable(const void* key, std::size_t bytes) {
  void* memory = running_block->shared.variable(key, bytes);
  if (memory == nullptr) fail("more shared memory than a block can have (48 KiB declared, 227 KiB in all), used");
  return memory;
}

void* dynamic_shared() { return running_block->shared.dynamic(); }

void barrier(Place place) {
  Block& b = *running_block;
  Warp& warp = b.my_warp();
  const unsigned me = 1u << b.my_lane();
  for_each_lane(warp.collecting, [&](int lane) {
    if (warp.mask[lane] & me) fail_at("a lane that a waiting warp operation names came to __syncthreads", place);
  });
  warp.at_barrier |= me;
  warp.place[b.my_lane()] = place;
  wait(b);
}

void collective(unsigned mask, const void* in, void* out, CollectiveFunction f, Place place) {
  Block& b = *running_block;
  Warp& warp = b.my_warp();
  const int lane = b.my_lane();
  const unsigned me = 1u << lane;
  if ((mask & me) == 0) fail_at("a warp operation whose mask leaves out the calling lane", place);
  if (mask & warp.gone) fail_at("a warp operation whose mask names a lane that has returned or is not there", place);
  if (mask & warp.at_barrier) fail_at("a warp operation whose mask names a lane that waits at __syncthreads", place);
  // One of the lanes that wait is enough: what came later was compared with it.
  if (const unsigned others = warp.collecting & mask; others != 0) {
    const int other = std::countr_zero(others);
    if (warp.mask[other] != mask || !same_place(warp.place[other], place)) {
      fail_at("a warp operation at which the lanes of its mask differ in mask or line", place);
    }
  }
  for_each_lane(warp.collecting & ~mask, [&](int other) {
    if (warp.mask[other] & me) fail_at("a warp operation that a lane waits for came with another mask", place);
  });
  warp.in[lane] = in;
  warp.out[lane] = out;
  warp.mask[lane] = mask;
  warp.place[lane] = place;
  warp.collecting |= me;
  if ((warp.collecting & mask) != mask) {
    wait(b);
    return;
  }
  warp.collecting &= ~mask;
  warp.wake(mask & ~me);
  // Copies, on the stack of a thread: f may be compiled with the checks of device code.
  const void* in_copy[32];
  void* out_copy[32];
  std::memcpy(in_copy, warp.in, sizeof(in_copy));
  std::memcpy(out_copy, warp.out, sizeof(out_copy));
  f(in_copy, out_copy, mask);
}

void sync_warp(unsigned mask, Place place) {
  collective(
      mask, nullptr, nullptr,
      [](const void* const*, void* const*, unsigned lanes) {
        Warp& warp = running_block->my_warp();
        if (lanes == ~warp.gone) ++warp.barriers;
      },
      place);
}

}  // namespace flowsmith::core::emulator
