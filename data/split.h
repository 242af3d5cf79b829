// Who trains on which example, and in which order: permutations fixed by a seed.
#pragma once

#include <cstdint>
#include <vector>

namespace flowsmith::core {

/// Numbers of the examples of one store, parted.
struct Split {
  std::vector<std::uint32_t> train;
  std::vector<std::uint32_t> validation;
  std::vector<std::uint32_t> test;
};

/// Parts `count` indices at random, fixed by the seed: count/6 for validation (MNIST: 50,000 and 10,000), the others
/// for training, none for the test.
Split split_train_validation(std::uint32_t count, std::uint64_t seed);

/// Parts `count` indices at random, fixed by the seed: count/10 for validation, count/10 for the test, the others for
/// training.
Split split_in_three(std::uint32_t count, std::uint64_t seed);

}  // namespace flowsmith::core
