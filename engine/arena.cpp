#include "engine/arena.h"

#include <algorithm>
#include <utility>

#include "engine/device_memory.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

constexpr std::size_t kHostAlignment = 64;  // one cache line, one AVX-512 vector
constexpr std::size_t kGpuAlignment = 256;  // what cudaMalloc gives, and any vector load of a warp
constexpr std::size_t kSmallestBlock = 8u << 20;

std::size_t round_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

Arena::~Arena() { give_back(); }

Arena::Arena(Arena&& other) noexcept
    : device_(other.device_),
      blocks_(std::exchange(other.blocks_, {})),
      current_(std::exchange(other.current_, 0)),
      offset_(std::exchange(other.offset_, 0)),
      peak_(std::exchange(other.peak_, 0)) {}

void* Arena::allocate(std::size_t bytes) {
  bytes = round_up(std::max<std::size_t>(bytes, 1), is_host(device_) ? kHostAlignment : kGpuAlignment);
  while (current_ < blocks_.size() && offset_ + bytes > blocks_[current_].size) {
    ++current_;
    offset_ = 0;
  }
  if (current_ == blocks_.size()) {
    try {
      add_block(std::max({bytes, kSmallestBlock, capacity() / 4}));
    } catch (const OutOfMemory&) {
      add_block(bytes);  // a larger block would only have saved later ones
    }
  }
  void* const result = blocks_[current_].data + offset_;
  offset_ += bytes;
  peak_ = std::max(peak_, used());
  return result;
}

void Arena::release(Mark mark) {
  current_ = mark.block;
  offset_ = mark.offset;
}

void Arena::reset() {
  if (blocks_.size() > 1) {
    const std::size_t total = capacity(), needed = peak_;
    give_back();
    for (const std::size_t size : {total, needed}) {
      if (!blocks_.empty()) break;
      try {
        add_block(size);
      } catch (const OutOfMemory&) {
        // not in one piece: allocate() takes several again
      }
    }
  }
  release({});
  peak_ = 0;
}

std::size_t Arena::capacity() const {
  std::size_t total = 0;
  for (const Block& block : blocks_) total += block.size;
  return total;
}

std::size_t Arena::used() const {
  std::size_t total = offset_;
  for (std::size_t i = 0; i < current_; ++i) total += blocks_[i].size;
  return total;
}

void Arena::add_block(std::size_t size) {
  void* memory = nullptr;
  std::string reason = std::to_string(round_up(size, 1 << 20) >> 20) + " MiB more were asked for";
  try {
    memory = allocate_memory(device_, size);
  } catch (const OutOfMemory& error) {
    reason = error.what();
  }
  if (memory == nullptr) {
    throw OutOfMemory("out of memory: " + reason + ", after " + std::to_string(capacity() >> 20) +
                      " MiB; choose a smaller batch");
  }
  blocks_.push_back({static_cast<std::byte*>(memory), size});
}

void Arena::give_back() {
  for (const Block& block : blocks_) free_memory(device_, block.data);
  blocks_.clear();
  release({});
}

}  // namespace flowsmith::core
