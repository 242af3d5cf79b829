// Orders of channels, on the host.
#include "kernels/permute.h"

#include <numeric>

#include "kernels/shuffle.h"

namespace flowsmith::core {

std::vector<std::uint32_t> reverse_order(int c) {
  std::vector<std::uint32_t> order(c);
  std::iota(order.rbegin(), order.rend(), 0u);
  return order;
}

std::vector<std::uint32_t> random_order(int c, std::uint64_t seed) {
  std::vector<std::uint32_t> order(c);
  std::iota(order.begin(), order.end(), 0u);
  shuffle(order, {seed, NoisePurpose::kOrder, 0});
  return order;
}

}  // namespace flowsmith::core
