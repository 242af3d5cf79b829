// Actnorm and batch norm on the tape: what is done in place, the way back, and running statistics.
#include <catch2/catch.hpp>

#include "tests/autograd/tape_testing.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

constexpr MapShape kMap{3, 2, 3, 2};

struct Fixture {
  Arena arena{Device::kReference};
  Tape tape{Device::kReference};
  Leaf x = random_leaf(arena, kMap, 1), a = random_leaf(arena, Shape{2}, 2), b = random_leaf(arena, Shape{2}, 3);
  ChannelMoments moments{arena.tensor(DType::kF64, Shape{2}), arena.tensor(DType::kF64, Shape{2})};
  std::vector<double> before = tape.read<double>(x.value);

  Var sums() { return zero_sums(tape, kMap.n); }
  std::vector<double> x_now() { return tape.read<double>(x.value); }
};

void check_close(const std::vector<double>& got, const std::vector<double>& want) {
  CHECK(relative_error(got, want) < 1e-14);  // two roundings per element
}

}  // namespace

TEST_CASE("channel_affine works in place in a flow that is not recorded, never in a network, and comes back") {
  Fixture f;
  f.tape.start(false);
  const Var z = add_leaf(f.tape, f.x), a = add_leaf(f.tape, f.a), b = add_leaf(f.tape, f.b);
  CHECK(channel_affine(f.tape, z, a, b, 3, {}).id != z.id);
  CHECK(f.x_now() == f.before);
  const Var logdet = f.sums();
  CHECK(channel_affine(f.tape, z, a, b, 3, logdet).id == z.id);
  CHECK(f.x_now() != f.before);
  CHECK(f.tape.read<double>(f.tape.value(logdet)) != std::vector<double>(3));
  channel_affine_inverse(f.tape, z, a, b, 3, logdet);
  check_close(f.x_now(), f.before);
  // The terms that were added, subtracted in the same order: the last bits of a sum of 12.
  for (double sum : f.tape.read<double>(f.tape.value(logdet))) CHECK(std::abs(sum) < 1e-13);

  f.tape.start(true);
  const Var recorded = add_leaf(f.tape, f.x);
  const Var result = channel_affine(f.tape, recorded, add_leaf(f.tape, f.a), {}, 1, f.sums());
  CHECK(result.id != recorded.id);
}

TEST_CASE("batch norm works in place in a flow that is not recorded, never in a network, and comes back") {
  Fixture f;
  f.tape.start(false);
  const Var x = add_leaf(f.tape, f.x), a = add_leaf(f.tape, f.a), b = add_leaf(f.tape, f.b);
  CHECK(batch_norm(f.tape, x, a, b, {}, f.moments).id != x.id);
  CHECK(f.x_now() == f.before);
  const Var logdet = f.sums();
  CHECK(batch_norm(f.tape, x, {}, {}, logdet, f.moments).id == x.id);
  const std::vector<double> normal = f.x_now();
  CHECK(normal != f.before);
  batch_norm_inverse(f.tape, x, logdet, f.moments);
  check_close(f.x_now(), f.before);
  // The terms that were added, subtracted in the same order: the last bits of a sum of 12.
  for (double sum : f.tape.read<double>(f.tape.value(logdet))) CHECK(std::abs(sum) < 1e-13);
  // What the batch wrote are statistics like any others.
  CHECK(batch_norm_fixed(f.tape, x, {}, {}, logdet, f.moments).id == x.id);
  check_close(f.x_now(), normal);
}

TEST_CASE("running statistics follow a batch on the tape, unless the loss or the gradient is not finite") {
  Fixture f;
  f.tape.start(true);
  batch_norm(f.tape, add_leaf(f.tape, f.x), {}, {}, f.sums(), f.moments);
  const ChannelMoments running{f.arena.tensor(DType::kF64, Shape{2}), f.arena.tensor(DType::kF64, Shape{2})};
  const Tensor loss = f.arena.tensor(DType::kF64, Shape{}), norm = f.arena.tensor(DType::kF64, Shape{});
  std::fill_n(running.mean.data<double>(), 2, 0.0);
  std::fill_n(running.var.data<double>(), 2, 1.0);
  const std::size_t count = kMap.n * kMap.pixels();
  *norm.data<double>() = 1;
  *loss.data<double>() = NAN;
  update_running(Device::kReference, running, f.moments, count, 1, loss, norm);
  CHECK(f.tape.read<double>(running.mean) == std::vector<double>{0, 0});
  *loss.data<double>() = 1;
  update_running(Device::kReference, running, f.moments, count, 1, loss, norm);
  CHECK(f.tape.read<double>(running.mean) == f.tape.read<double>(f.moments.mean));
  for (int k = 0; k < 2; ++k) {
    CHECK(running.var.data<double>()[k] == Approx(f.moments.var.data<double>()[k] * 18 / 17).epsilon(1e-15));
  }
}

}  // namespace flowsmith::core::testing
