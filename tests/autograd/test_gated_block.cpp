// The fused gated block against the ops that it fuses.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/autograd/tape_testing.h"

namespace flowsmith::core::testing {
namespace {

// The same sums in f64, perhaps in another order: a few hundred roundings of 1e-16.
constexpr double kBound = 1e-12;

Var composed_block(Tape& tape, Var x, const GatedBlockVars& w, bool concat_elu_input, bool elu_in_conv) {
  const auto elu_conv = [&](Var in, Var weight, Var bias) {
    return elu_in_conv ? conv(tape, in, weight, bias, true) : conv(tape, concat_elu(tape, in), weight, bias, false);
  };
  const Var h = concat_elu_input ? elu_conv(x, w.weight3, w.bias3) : conv(tape, x, w.weight3, w.bias3, false);
  return layer_norm(tape, gate(tape, x, elu_conv(h, w.weight1, w.bias1)), w.gamma, w.beta);
}

void check_near(const std::vector<double>& got, const std::vector<double>& want) {
  double distance = 0, norm = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    distance += std::pow(got[i] - want[i], 2);
    norm += std::pow(want[i], 2);
  }
  CHECK(std::sqrt(distance) <= kBound * std::sqrt(norm));
}

}  // namespace

TEST_CASE("the fused gated block is its composition, values and all gradients") {
  const bool elu_input = GENERATE(true, false);
  const bool elu_in_conv = GENERATE(true, false);
  const MapShape map = GENERATE(MapShape{1, 1, 1, 3}, MapShape{3, 5, 3, 4}, MapShape{2, 1, 6, 8});
  const int c = map.c;
  Arena memory;
  const Shape shapes[] = {
      map,     Shape{3, 3, elu_input ? 2 * c : c, c}, Shape{c}, Shape{1, 1, 2 * c, 2 * c}, Shape{2 * c}, Shape{c},
      Shape{c}};
  std::vector<Leaf> leaves;
  for (const Shape& shape : shapes) leaves.push_back(random_leaf(memory, shape, leaves.size()));

  /// The values, then the gradients of all leaves.
  const auto run = [&](const auto& block) {
    Tape tape(Device::kReference);
    tape.start(true);
    std::vector<Var> in;
    for (const Leaf& leaf : leaves) in.push_back(add_leaf(tape, leaf));
    const Var y = block(tape, in[0], GatedBlockVars{in[1], in[2], in[3], in[4], in[5], in[6]});
    tape.backward(gaussian_loss(tape, y));
    std::vector<std::vector<double>> results{to_doubles(tape.value(y))};
    for (const Leaf& leaf : leaves) results.push_back(to_doubles(leaf.grad));
    return results;
  };
  const auto want = run([&](Tape& tape, Var x, const GatedBlockVars& weights) {
    return composed_block(tape, x, weights, elu_input, elu_in_conv);
  });
  const auto got =
      run([&](Tape& tape, Var x, const GatedBlockVars& weights) { return gated_block(tape, x, weights, elu_input); });
  for (std::size_t i = 0; i < want.size(); ++i) {
    INFO("values, then x, weight3, bias3, weight1, bias1, gamma, beta: number " << i);
    check_near(got[i], want[i]);
  }
}

TEST_CASE("a gated block that nobody wants gradients of gives the same values") {
  Arena memory;
  const Shape shapes[] = {Shape{2, 3, 4, 5}, Shape{3, 3, 10, 5}, Shape{5}, Shape{1, 1, 10, 10},
                          Shape{10},         Shape{5},           Shape{5}};
  std::vector<Leaf> leaves;
  for (const Shape& shape : shapes) leaves.push_back(random_leaf(memory, shape, leaves.size()));
  std::vector<double> values[2];
  Tape tape(Device::kReference);
  for (const bool recording : {false, true}) {
    tape.start(recording);
    std::vector<Var> in;
    for (const Leaf& leaf : leaves) in.push_back(add_leaf(tape, leaf));
    const Var y = gated_block(tape, in[0], {in[1], in[2], in[3], in[4], in[5], in[6]}, true);
    values[recording] = to_doubles(tape.value(y));
  }
  CHECK(values[0] == values[1]);
}

}  // namespace flowsmith::core::testing
