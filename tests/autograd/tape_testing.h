// What the tests of the tape share: tensors with random numbers, and a loss for anything that is a feature map.
#pragma once

#include <cstring>

#include "autograd/gradient_check.h"
#include "autograd/ops.h"
#include "kernels/likelihood.h"
#include "kernels/noise.h"

namespace flowsmith::core::testing {

/// A tensor with its gradient, both in memory of the test.
struct Leaf {
  Tensor value, grad;
};

/// Normals; the gradient is filled with garbage that no backward pass may add to.
inline Leaf random_leaf(Arena& arena, const Shape& shape, std::uint64_t seed) {
  const Leaf leaf{arena.tensor(DType::kF64, shape), arena.tensor(DType::kF64, shape)};
  const std::uint32_t index = 0;
  const NoiseStream stream{seed};
  normal_noise(leaf.value.data<double>(), &index, &stream, 1, 1, shape.size(), Reference{});
  std::memset(leaf.grad.raw(), 0x7f, leaf.grad.bytes());
  return leaf;
}

inline Var add_leaf(Tape& tape, const Leaf& leaf) { return tape.leaf(leaf.value, leaf.grad); }

/// A variable of n zeros to which ops add log-densities and log-determinants.
inline Var zero_sums(Tape& tape, int n) {
  const Var sums = tape.output(DType::kF64, Shape{n}, true);
  std::memset(tape.value(sums).raw(), 0, tape.value(sums).bytes());
  return sums;
}

/// -log N(y; 0, 1) / (n ln 2): its gradient for y is y / (n ln 2).
inline Var gaussian_loss(Tape& tape, Var y) {
  const Var sums = zero_sums(tape, tape.value(y).map().n);
  gaussian_log_density(tape, y, sums);
  return mean_negative_log_prob(tape, sums, nats_per_bit_per_dim(1));
}

}  // namespace flowsmith::core::testing
