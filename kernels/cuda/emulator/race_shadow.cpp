#include "kernels/cuda/emulator/race_shadow.h"

#if defined(FLOWSMITH_EMULATOR_RACE)

#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "kernels/cuda/emulator/block.h"
#include "kernels/cuda/emulator/device_memory.h"
#include "kernels/cuda/emulator/error.h"
#include "kernels/cuda/emulator/race_hooks.h"

namespace flowsmith::core::emulator {

namespace {

/// Who touched a cell. Accesses of one era, which is a launch for device memory and a block for shared memory, are not
/// ordered unless something in the kernel orders them; those of different eras are.
struct Access {
  std::uint32_t era, block, barriers;
  std::uint16_t thread, warp_barriers;

  bool operator==(const Access&) const = default;
};

constexpr std::uint32_t kEraNotAllocated = 0, kEraNeverWritten = 1, kFirstEra = 2;  // in Cell::write.era
constexpr std::uint16_t kInBytes = 0xfffe;  // in Cell::write.thread: see Cells::bytes
// In Cell::read: what more than one thread has read.
constexpr std::uint32_t kSeveralBlocks = ~0u;
constexpr std::uint16_t kSeveralWarps = 0xffff;
constexpr std::uint16_t kSeveralLanes = 0x8000;  ///< with the number of the warp

struct Cell {
  Access write, read;
};

/// The cells of a range of memory.
struct Cells {
  const char* memory;
  std::size_t size;  ///< bytes of memory
  Cell* words;       ///< one for each four bytes
  Cell* bytes;       ///< one for each byte; in use where a thread has touched less than four

  bool hold(const void* address) const { return std::size_t(static_cast<const char*>(address) - memory) < size; }
};

template <class T>
T* reserve(std::size_t count) {
  void* memory =
      mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw_error("the emulator cannot reserve address space for what its race build remembers");
  return static_cast<T*>(memory);
}

Cells cells_of(const char* memory, std::size_t size) {
  return {memory, size, reserve<Cell>(size / 4), reserve<Cell>(size)};
}

struct Shadow {
  Cells shared{nullptr, 0, nullptr, nullptr};
  Cells device = cells_of(device_memory().region(), DeviceMemory::kRegionBytes);
  std::uint32_t clock = kFirstEra, launch = 0, block = 0;
};

Shadow& shadow() {
  static Shadow& the_shadow = *new Shadow;
  return the_shadow;
}

/// Puts `write` into all cells of the memory, which nobody has read then.
void set(const Cells& cells, const void* memory, std::size_t bytes, const Access& write) {
  const auto first = std::size_t(static_cast<const char*>(memory) - cells.memory);
  std::fill(cells.words + first / 4, cells.words + (first + bytes + 3) / 4, Cell{write, {}});
}

void set(const void* memory, std::size_t bytes, const Access& write) {
  Shadow& s = shadow();
  set(s.shared.hold(memory) ? s.shared : s.device, memory, bytes, write);
}

bool in_program_image(const void* address) {
  static const auto& ranges = *[] {
    auto* all = new std::vector<std::array<const char*, 2>>;
    dl_iterate_phdr(
        [](dl_phdr_info* object, std::size_t, void* into) {
          for (int i = 0; i < object->dlpi_phnum; ++i) {
            const auto& header = object->dlpi_phdr[i];
            if (header.p_type != PT_LOAD) continue;
            const auto* start = reinterpret_cast<const char*>(object->dlpi_addr + header.p_vaddr);
            static_cast<decltype(all)>(into)->push_back({start, start + header.p_memsz});
          }
          return 0;
        },
        all);
    return all;
  }();
  for (const auto& [start, end] : ranges) {
    if (address >= start && address < end) return true;
  }
  return false;
}

int warp_of(std::uint16_t thread) { return thread / 32; }

/// Whether the write happened before what `me` does now.
bool write_is_before(const Access& write, const Access& me) {
  if (write.era != me.era) return true;
  if (write.block != me.block) return false;
  if (write.barriers != me.barriers || write.thread == me.thread) return true;
  return warp_of(write.thread) == warp_of(me.thread) && write.warp_barriers != me.warp_barriers;
}

/// Whether all reads did.
bool reads_are_before(const Access& read, const Access& me) {
  if (read.era != me.era) return true;
  if (read.block != me.block) return false;
  if (read.barriers != me.barriers || read.thread == me.thread) return true;
  if (read.thread == kSeveralWarps) return false;
  const int warp = read.thread & kSeveralLanes ? read.thread & ~kSeveralLanes : warp_of(read.thread);
  return warp == warp_of(me.thread) && read.warp_barriers != me.warp_barriers;
}

/// Adds a reader. Those that came before it in an order may be forgotten: who races with them races with it, too.
void merge_reader(Access& read, const Access& me) {
  if (read.era != me.era || (read.block == me.block && read.barriers != me.barriers)) {
    read = me;
    return;
  }
  if (read.block != me.block) {
    read.block = kSeveralBlocks;
    return;
  }
  if (read.thread == kSeveralWarps) return;
  const int warp = read.thread & kSeveralLanes ? read.thread & ~kSeveralLanes : warp_of(read.thread);
  if (warp != warp_of(me.thread)) {
    read.thread = kSeveralWarps;
  } else if (read.warp_barriers != me.warp_barriers || read.thread == me.thread) {
    read = me;
  } else {
    read.thread = std::uint16_t(kSeveralLanes | warp);
  }
}

enum class Finding { kNone, kNotAllocated, kNeverWritten, kWrittenByOther, kOverwritesOther, kReadByOther };

/// What is wrong with an access, which is noted if nothing is.
Finding check(Cell& cell, const Access& me, bool is_write, bool is_shared) {
  if (!is_write && cell.read == me) return Finding::kNone;
  if (cell.write.era == kEraNotAllocated) return Finding::kNotAllocated;
  if (!is_write && (cell.write.era == kEraNeverWritten || (is_shared && cell.write.era != me.era))) {
    return Finding::kNeverWritten;
  }
  if (!write_is_before(cell.write, me)) return is_write ? Finding::kOverwritesOther : Finding::kWrittenByOther;
  if (!is_write) {
    merge_reader(cell.read, me);
    return Finding::kNone;
  }
  if (!reads_are_before(cell.read, me)) return Finding::kReadByOther;
  cell.write = me;
  return Finding::kNone;
}

[[noreturn]] void report(Finding finding, const Cell& cell, bool is_shared, const void* code) {
  char writer[64], what[160];
  if (is_shared) {
    std::snprintf(writer, sizeof(writer), "thread %d", int(cell.write.thread));
  } else {
    std::snprintf(writer, sizeof(writer), "thread %d of block %u", int(cell.write.thread), cell.write.block);
  }
  switch (finding) {
    case Finding::kNone:
      break;
    case Finding::kNotAllocated:
      fail_at_code(
          is_shared ? "access to shared memory beside all variables" : "access to device memory that is not allocated",
          code);
    case Finding::kNeverWritten:
      fail_at_code(
          is_shared ? "read of shared memory that this block never wrote" : "read of device memory never written",
          code);
    case Finding::kReadByOther:
      fail_at_code("race: write over what another thread reads", code);
    case Finding::kWrittenByOther:
      std::snprintf(what, sizeof(what), "race: read of what %s writes", writer);
      fail_at_code(what, code);
    case Finding::kOverwritesOther:
      std::snprintf(what, sizeof(what), "race: write over what %s writes", writer);
      fail_at_code(what, code);
  }
  __builtin_unreachable();
}

}  // namespace

void set_shared_arena(const char* arena, std::size_t bytes) { shadow().shared = cells_of(arena, bytes); }
void begin_shadow_launch() { shadow().launch = ++shadow().clock; }
void begin_shadow_block() { shadow().block = ++shadow().clock; }

void allocate_shadow(const void* memory, std::size_t bytes) { set(memory, bytes, {kEraNeverWritten, 0, 0, 0, 0}); }
void release_shadow(const void* memory, std::size_t bytes) { set(memory, bytes, {kEraNotAllocated, 0, 0, 0, 0}); }
void write_shadow(const void* memory, std::size_t bytes) { set(memory, bytes, {++shadow().clock, 0, 0, 0, 0}); }

void check_access(const void* memory, std::size_t bytes, bool is_write, const void* code) {
  const Block* const block = running_block;
  if (block == nullptr) return;
  const Shadow& s = shadow();
  const bool is_shared = s.shared.hold(memory);
  if (!is_shared && !s.device.hold(memory)) {
    if (block->holds_stack_or_argument(memory) || in_program_image(memory)) return;
    fail_at_code("access to host memory", code);
  }
  const Cells& cells = is_shared ? s.shared : s.device;
  const Access me{is_shared ? s.block : s.launch, is_shared ? 0 : block->number, block->barriers,
                  std::uint16_t(block->thread), block->my_warp().barriers};
  const auto first = std::size_t(static_cast<const char*>(memory) - cells.memory);
  for (std::size_t at = first; at < first + bytes;) {
    const std::size_t next = std::min(at / 4 * 4 + 4, first + bytes);
    Cell& word = cells.words[at / 4];
    if (next - at < 4 && word.write.thread != kInBytes) {  // from now on these four bytes go their own ways
      std::fill_n(cells.bytes + at / 4 * 4, 4, word);
      word.write.thread = kInBytes;
    }
    const bool in_bytes = word.write.thread == kInBytes;
    for (std::size_t b = at; b < (in_bytes ? next : at + 1); ++b) {
      Cell& cell = in_bytes ? cells.bytes[b] : word;
      const Finding finding = check(cell, me, is_write, is_shared);
      if (finding != Finding::kNone) report(finding, cell, is_shared, code);
    }
    at = next;
  }
}

}  // namespace flowsmith::core::emulator

#endif
