#include "data/split.h"

#include <numeric>

#include "kernels/shuffle.h"

namespace flowsmith::core {
namespace {

constexpr std::uint32_t kSplitDraw = 0xFFFFFFFF;  // no epoch gets that far
constexpr std::uint32_t kValidationShare = 6;
constexpr std::uint32_t kShareOfThree = 10;

std::vector<std::uint32_t> shuffled(std::uint32_t count, std::uint64_t seed) {
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  shuffle(order, {seed, NoisePurpose::kShuffle, kSplitDraw});
  return order;
}

}  // namespace

Split split_train_validation(std::uint32_t count, std::uint64_t seed) {
  const std::vector<std::uint32_t> order = shuffled(count, seed);
  const auto boundary = order.begin() + (count - count / kValidationShare);
  return {{order.begin(), boundary}, {boundary, order.end()}, {}};
}

Split split_in_three(std::uint32_t count, std::uint64_t seed) {
  const std::vector<std::uint32_t> order = shuffled(count, seed);
  const auto test = order.end() - count / kShareOfThree;
  const auto validation = test - count / kShareOfThree;
  return {{order.begin(), validation}, {validation, test}, {test, order.end()}};
}

}  // namespace flowsmith::core
