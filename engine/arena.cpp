#include "engine/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace flowsmith {
namespace {

constexpr std::size_t kAlignment = 64;             // one cache line, one AVX-512 vector
constexpr std::size_t kBlockAlignment = 2u << 20;  // huge pages: a step walks over gigabytes
constexpr std::size_t kSmallestBlock = 8u << 20;

std::size_t round_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

Arena::~Arena() { free_blocks(); }

Arena::Arena(Arena&& other) noexcept
    : blocks_(std::exchange(other.blocks_, {})),
      current_(std::exchange(other.current_, 0)),
      offset_(std::exchange(other.offset_, 0)) {}

void* Arena::allocate(std::size_t bytes) {
  bytes = round_up(std::max<std::size_t>(bytes, 1), kAlignment);
  while (current_ < blocks_.size() && offset_ + bytes > blocks_[current_].size) {
    ++current_;
    offset_ = 0;
  }
  if (current_ == blocks_.size()) add_block(std::max({bytes, kSmallestBlock, capacity() / 4}));
  void* const result = blocks_[current_].data + offset_;
  offset_ += bytes;
  return result;
}

void Arena::release(Mark mark) {
  current_ = mark.block;
  offset_ = mark.offset;
}

void Arena::reset() {
  if (blocks_.size() > 1) {
    const std::size_t total = capacity();
    free_blocks();
    current_ = 0;
    add_block(total);
  }
  release({});
}

std::size_t Arena::capacity() const {
  std::size_t total = 0;
  for (const Block& block : blocks_) total += block.size;
  return total;
}

void Arena::add_block(std::size_t size) {
  size = round_up(size, kBlockAlignment);
  void* const data = std::aligned_alloc(kBlockAlignment, size);
  if (data == nullptr) {
    throw Error("out of memory: no room for " + std::to_string(size >> 20) + " MiB more, after " +
                std::to_string(capacity() >> 20) + " MiB; choose a smaller batch size");
  }
  madvise(data, size, MADV_HUGEPAGE);  // advice only: without it the step is slower, not wrong
  blocks_.push_back({static_cast<std::byte*>(data), size});
}

void Arena::free_blocks() {
  for (const Block& block : blocks_) std::free(block.data);
  blocks_.clear();
}

}  // namespace flowsmith
