#include "kernels/cuda/emulator/shared_memory.h"

#include <sys/mman.h>

#include <cstring>

#include "kernels/cuda/emulator/asan.h"
#include "kernels/cuda/emulator/error.h"
#include "kernels/cuda/emulator/race_shadow.h"

namespace flowsmith::core::emulator {

namespace {

constexpr std::size_t kAlignment = 16;
constexpr std::size_t kGapBytes = 256;

}  // namespace

SharedMemory::SharedMemory() {
  void* arena = mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED) throw_error("the emulator has no memory for the shared memory of a block");
  arena_ = static_cast<char*>(arena);
  forbid(arena_, kArenaBytes);
  set_shared_arena(arena_, kArenaBytes);
}

void SharedMemory::begin_kernel(std::size_t dynamic_bytes) {
  for (int i = 0; i < count_; ++i) {
    forbid(variables_[i].memory, variables_[i].bytes);
    release_shadow(variables_[i].memory, variables_[i].bytes);
  }
  used_ = 0;
  static_bytes_ = 0;
  count_ = 0;
  dynamic_bytes_ = dynamic_bytes;
  if (dynamic_bytes > 0) append(nullptr, dynamic_bytes);
}

void SharedMemory::begin_block(unsigned char poison) {
  poison_ = poison;
  for (int i = 0; i < count_; ++i) std::memset(variables_[i].memory, poison, variables_[i].bytes);
}

char* SharedMemory::append(const void* key, std::size_t bytes) {
  char* memory = arena_ + used_;
  used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment + kGapBytes;
  permit(memory, bytes);
  allocate_shadow(memory, bytes);
  variables_[count_++] = {key, memory, bytes};
  return memory;
}

void* SharedMemory::variable(const void* key, std::size_t bytes) {
  for (int i = 0; i < count_; ++i) {
    if (variables_[i].key == key) return variables_[i].memory;
  }
  static_bytes_ += bytes;
  if (count_ == kMaxVariables || static_bytes_ > kStaticSharedBytes || static_bytes_ + dynamic_bytes_ > kSharedBytes) {
    return nullptr;
  }
  char* memory = append(key, bytes);
  std::memset(memory, poison_, bytes);
  return memory;
}

}  // namespace flowsmith::core::emulator
