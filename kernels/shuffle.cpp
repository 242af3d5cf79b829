#include "kernels/shuffle.h"

#include <utility>

namespace flowsmith::core {
namespace {

// The words of one shuffle, in order.
class ShuffleWords {
 public:
  explicit ShuffleWords(NoiseStream stream) : stream_(stream) {}

  /// Uniform on 0 ... n-1 without bias (Lemire, "Fast random integer generation in an interval", 2019): of the 2^32
  /// words, the 2^32 mod n that would favour some results are drawn again.
  std::uint32_t below(std::uint32_t n) {
    const std::uint32_t threshold = (0u - n) % n;
    while (true) {
      const std::uint64_t product = std::uint64_t{next()} * n;
      if (static_cast<std::uint32_t>(product) >= threshold) return static_cast<std::uint32_t>(product >> 32);
    }
  }

 private:
  std::uint32_t next() {
    if (used_ == words_.size()) {
      words_ = noise_words(stream_, 0, group_++);
      used_ = 0;
    }
    return words_[used_++];
  }

  NoiseStream stream_;
  std::uint32_t group_ = 0;
  PhiloxCounter words_ = {};
  std::size_t used_ = words_.size();
};

}  // namespace

void shuffle(std::vector<std::uint32_t>& items, NoiseStream stream) {
  ShuffleWords words(stream);
  for (std::size_t left = items.size(); left > 1; --left) {
    std::swap(items[left - 1], items[words.below(static_cast<std::uint32_t>(left))]);
  }
}

}  // namespace flowsmith::core
