#include "kernels/cuda/emulator/scheduler.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/cuda/emulator/block.h"
#include "kernels/cuda/emulator/device_memory.h"
#include "kernels/cuda/emulator/emulator.h"
#include "kernels/cuda/emulator/error.h"
#include "kernels/cuda/emulator/order.h"
#include "kernels/cuda/emulator/race_shadow.h"
#include "kernels/cuda/emulator/source_line.h"

namespace flowsmith::core::cuda_names {

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

}  // namespace flowsmith::core::cuda_names

namespace flowsmith::core::emulator {

Block* running_block = nullptr;

namespace {

void set_thread(Block& b, int thread) {
  b.thread = thread;
  threadIdx = b.index[thread];
}

/// Goes to the stack of `thread`, which becomes the running one.
void resume(Block& b, Context& from, int thread) {
  set_thread(b, thread);
  Context* const to = b.fiber_of[thread] != nullptr ? b.fiber_of[thread] : b.fibers.take();
  b.fiber = to;
  switch_context(from, *to);
}

/// What every fiber runs: the current thread, then others of its warp that have not begun.
void run_threads() {
  arrived();
  Block& b = *running_block;
  for (;;) {
    b.call->invoke(b.call->arguments.get());
    Warp& warp = b.my_warp();
    warp.gone |= 1u << b.my_lane();
    b.fiber_of[b.thread] = nullptr;
    const int next = warp.next_lane();
    const int thread = b.thread / 32 * 32 + next;
    if (next >= 0 && b.fiber_of[thread] == nullptr) {
      set_thread(b, thread);
      continue;
    }
    Context* const mine = b.fiber;
    b.fibers.put(mine);
    if (next < 0) {
      switch_context(*mine, b.scheduler);
    } else {
      resume(b, *mine, thread);
    }
  }
}

/// The lanes of warp w that the block has.
unsigned lanes_of(const Block& b, int w) { return (w + 1) * 32 > b.threads ? (1u << b.threads % 32) - 1 : kAllLanes; }

bool all_returned(const Block& b) {
  return std::all_of(b.warp, b.warp + b.warps, [](const Warp& warp) { return warp.gone == kAllLanes; });
}

bool all_at_one_barrier(const Block& b) {
  const Place& place = b.warp[0].place[0];
  for (int w = 0; w < b.warps; ++w) {
    const Warp& warp = b.warp[w];
    bool same = warp.at_barrier == lanes_of(b, w);
    for_each_lane(warp.at_barrier, [&](int lane) { same = same && same_place(warp.place[lane], place); });
    if (!same) return false;
  }
  return true;
}

/// How a thread that cannot go on stands.
std::string standing(const Block& b, int thread) {
  const Warp& warp = b.warp[thread / 32];
  const int lane = thread % 32;
  if (warp.gone >> lane & 1) return " has returned";
  const std::string place = text_of(warp.place[lane]);
  return (warp.at_barrier >> lane & 1 ? " waits at the barrier " : " waits at the warp operation ") + place;
}

/// Why no thread can go on: thread 0 and the first that stands elsewhere.
std::string why_stuck(const Block& b) {
  const std::string first = standing(b, 0);
  const std::string who = "thread " + text_of(b.index[0]) + first;
  for (int thread = 1; thread < b.threads; ++thread) {
    const std::string other = standing(b, thread);
    if (other != first) {
      return "the threads of a block do not meet: " + who + ", thread " + text_of(b.index[thread]) + other;
    }
  }
  return "the lanes that a warp operation names never come: " + who;
}

void run_block(Block& b, const Schedule& schedule) {
  OrderSource orders(schedule, b.number);
  for (int w = 0; w < b.warps; ++w) {
    Warp& warp = b.warp[w];
    warp.gone = ~lanes_of(b, w);
    warp.barriers = 0;
  }
  b.barriers = 0;
  b.shared.begin_block(schedule.poison);
  begin_shadow_block();
  std::uint8_t warp_order[kMaxThreads / 32];
  for (;;) {
    orders.fill(warp_order, b.warps);
    for (int i = 0; i < b.warps; ++i) {
      Warp& warp = b.warp[warp_order[i]];
      if (b.barriers == 0 || orders.varies()) {
        orders.fill(warp.order, 32);
        for (int p = 0; p < 32; ++p) warp.position[warp.order[p]] = std::uint8_t(p);
      }
      warp.at_barrier = 0;
      warp.cursor = 0;
      warp.wake(~warp.gone);
      const int lane = warp.next_lane();
      if (lane < 0) continue;
      running_block = &b;
      resume(b, b.scheduler, warp_order[i] * 32 + lane);
      running_block = nullptr;
      if (!b.error.empty()) return;
    }
    if (all_returned(b)) return;
    if (!all_at_one_barrier(b)) {
      b.error = why_stuck(b);
      return;
    }
    ++b.barriers;
  }
}

/// Leaves the kernel for good if a thread went wrong.
void give_up_on_error(Block& b, const KernelCall& call) {
  if (b.error.empty()) return;
  b.fibers.reset();
  for (Warp& warp : b.warp) warp = {};
  std::fill_n(b.fiber_of, kMaxThreads, nullptr);
  std::string error;
  error.swap(b.error);
  if (b.error_code != nullptr) error += " at " + source_line(std::exchange(b.error_code, nullptr));
  throw_error(error + ", in " + call.name + ", block " + text_of(blockIdx) + ", launched at " + call.file + ":" +
              std::to_string(call.line));
}

}  // namespace

void run_kernel(const KernelCall& call) {
  static Block& b = *new Block(run_threads);  // outlives every destructor that may still launch
  const DeviceAccess access;
  b.shared.begin_kernel(call.shared_bytes);
  b.call = &call;
  const Schedule& order = schedule();
  describe_this_stack(b.scheduler);
  begin_shadow_launch();
  blockDim = call.block;
  gridDim = call.grid;
  b.threads = int(call.block.x * call.block.y * call.block.z);
  b.warps = (b.threads + 31) / 32;
  for (int t = 0; t < b.threads; ++t) {
    const unsigned u = unsigned(t);
    b.index[t] = {u % blockDim.x, u / blockDim.x % blockDim.y, u / (blockDim.x * blockDim.y)};
  }
  std::vector<std::uint32_t> numbers(std::size_t(gridDim.x) * gridDim.y * gridDim.z);
  OrderSource(order, ~0ull).fill(numbers.data(), numbers.size());
  for (const std::uint32_t number : numbers) {
    b.number = number;
    blockIdx = {number % gridDim.x, number / gridDim.x % gridDim.y, number / gridDim.x / gridDim.y};
    run_block(b, order);
    give_up_on_error(b, call);
  }
}

void wait(Block& b) {
  Context* const mine = b.fiber;
  const int thread = b.thread;
  b.fiber_of[thread] = mine;
  const int next = b.my_warp().next_lane();
  if (next < 0) {
    switch_context(*mine, b.scheduler);
  } else {
    resume(b, *mine, thread / 32 * 32 + next);
  }
}

}  // namespace flowsmith::core::emulator
