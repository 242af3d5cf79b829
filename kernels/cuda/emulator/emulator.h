// What a test may set and ask. Not part of CUDA.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

namespace flowsmith::core::emulator {

/// In which order blocks, warps and lanes run between two barriers. A correct kernel gives the same bits in each.
enum class Order { kForward, kReverse, kShuffled };

struct Schedule {
  Order order = Order::kForward;
  std::uint32_t seed = 1;       ///< of kShuffled
  unsigned char poison = 0xff;  ///< fills shared memory before each block and device memory when it is allocated
};

struct NamedSchedule {
  const char* name;
  Schedule schedule;
};

/// Between them they show a missing barrier, an order that matters, and memory that nobody wrote: as different bits.
inline constexpr NamedSchedule kSchedules[] = {
    {"forward", {Order::kForward, 1, 0xff}},
    {"forward, zeros in new memory", {Order::kForward, 1, 0x00}},
    {"reverse", {Order::kReverse, 1, 0x00}},
    {"shuffled", {Order::kShuffled, 1, 0xff}},
    {"shuffled, large numbers in new memory", {Order::kShuffled, 2, 0x7e}},
};

void set_schedule(const Schedule& schedule);
const Schedule& schedule();

/// What the runtime finds when it looks for a GPU.
struct Machine {
  int driver = 12000;        ///< its version of CUDA, as cudaDriverGetVersion has it; 0: there is none
  bool has_gpu = true;       ///< otherwise the driver sees no device
  bool runs_kernels = true;  ///< otherwise the program has no code for the GPU: launches are refused
};

void set_machine(const Machine& machine);
const Machine& machine();

/// Device memory that cudaMalloc can give out in all, 8 GiB at most and at first.
void set_memory_limit(std::size_t bytes);

/// Overwrites device memory with the schedule's poison, as if it had just been allocated.
void forget(void* memory, std::size_t bytes);

/// The next run of the kernel of this name ends as one that touched memory which is not its own. As on a GPU, that
/// shows when the host waits for the stream, and from then on every call fails, until mend_device().
void break_kernel(const std::string& name);
void mend_device();

/// Whether this is the race build: kernels compiled so that every access to memory is checked.
bool checks_races();

/// Names of all kernels that ran in this process, without template arguments and namespaces.
const std::set<std::string>& launched_kernels();

}  // namespace flowsmith::core::emulator
