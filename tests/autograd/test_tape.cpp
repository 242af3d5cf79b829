// What the tape promises: gradients that are written once and then added to, memory that comes back.
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include "kernels/likelihood.h"
#include "tests/autograd/tape_testing.h"
#include "tests/support/error_of.h"

namespace flowsmith::core::testing {
namespace {

constexpr double kLn2 = 0.693147180559945309417;
constexpr MapShape kMap{2, 4, 6, 4};
constexpr Mask kCheckerboard{MaskKind::kCheckerboard, false};

std::vector<double> scaled(const Tensor& tensor, double factor) {
  std::vector<double> values = to_doubles(tensor);
  for (double& value : values) value *= factor;
  return values;
}

void check_near(const std::vector<double>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  // A few roundings of numbers of order 1.
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(want[i]).margin(1e-14).epsilon(1e-13));
}

/// The inputs of a coupling.
struct CouplingLeaves {
  Leaf z, st, scaling_factor;

  explicit CouplingLeaves(Arena& arena)
      : z(random_leaf(arena, kMap, 1)),
        st(random_leaf(arena, MapShape{kMap.n, kMap.h, kMap.w, 2 * kMap.c}, 2)),
        scaling_factor(random_leaf(arena, Shape{kMap.c}, 3)) {}
};

}  // namespace

TEST_CASE("the first op of a backward pass overwrites a gradient and the others accumulate") {
  Arena memory;
  const Leaf z = random_leaf(memory, kMap, 1);
  Tape tape(Device::kReference);
  for (int uses = 1; uses <= 3; ++uses) {
    for (int pass = 0; pass < 2; ++pass) {  // the second finds the gradient of the first
      tape.start(true);
      const Var x = add_leaf(tape, z), sums = zero_sums(tape, kMap.n);
      for (int i = 0; i < uses; ++i) gaussian_log_density(tape, squeeze(tape, x), sums);
      tape.backward(mean_negative_log_prob(tape, sums, nats_per_bit_per_dim(1)));
      check_near(to_doubles(z.grad), scaled(z.value, uses / (kMap.n * kLn2)));
    }
  }
}

TEST_CASE("the tape says once per backward pass that a gradient is to be overwritten") {
  Arena memory;
  const Leaf a = random_leaf(memory, Shape{3}, 1);
  Tape tape(Device::kReference);
  for (int pass = 0; pass < 2; ++pass) {
    tape.start(true);
    const Var x = add_leaf(tape, a);
    CHECK(tape.grad<double>(x).data == a.grad.data<double>());
    CHECK(tape.grad<double>(x).mode == GradMode::kAccumulate);
    tape.start(true);
    CHECK(tape.grad<double>(add_leaf(tape, a)).mode == GradMode::kOverwrite);
  }
}

TEST_CASE("a leaf that nobody uses has a gradient of zero") {
  Arena memory;
  const Leaf used = random_leaf(memory, kMap, 1), unused = random_leaf(memory, kMap, 2);
  Tape tape(Device::kReference);
  tape.start(true);
  const Var x = add_leaf(tape, used);
  add_leaf(tape, unused);
  tape.backward(gaussian_loss(tape, x));
  check_near(to_doubles(used.grad), scaled(used.value, 1 / (kMap.n * kLn2)));
  for (const double value : to_doubles(unused.grad)) CHECK(value == 0);
}

TEST_CASE("a result that nobody uses adds nothing to the gradient of its inputs") {
  Arena memory;
  const Leaf z = random_leaf(memory, kMap, 1);
  Tape tape(Device::kReference);
  tape.start(true);
  const Var x = add_leaf(tape, z);
  const Var loss = gaussian_loss(tape, x);
  squeeze(tape, concat_elu(tape, x));
  tape.backward(loss);
  check_near(to_doubles(z.grad), scaled(z.value, 1 / (kMap.n * kLn2)));
}

TEST_CASE("constants have no gradient, nor has what depends on nothing else") {
  Arena memory;
  const Leaf z = random_leaf(memory, kMap, 1);
  Tape tape(Device::kReference);
  tape.start(true);
  const Var constant = tape.constant(z.value);
  const Var squeezed = squeeze(tape, constant);
  for (const Var v : {constant, squeezed}) {
    CHECK_FALSE(tape.needs_grad(v));
    CHECK_FALSE(tape.grad<double>(v));
  }
  const Var x = add_leaf(tape, z), sums = zero_sums(tape, kMap.n);
  gaussian_log_density(tape, squeezed, sums);
  gaussian_log_density(tape, x, sums);
  tape.backward(mean_negative_log_prob(tape, sums, nats_per_bit_per_dim(1)));
  check_near(to_doubles(z.grad), scaled(z.value, 1 / (kMap.n * kLn2)));
}

TEST_CASE("an op whose inputs are partly constants gives the others the same gradients") {
  Arena memory;
  const CouplingLeaves leaves(memory);
  const Leaf* const all[] = {&leaves.z, &leaves.st, &leaves.scaling_factor};
  Tape tape(Device::kReference);
  const auto run = [&](int only) {  // -1: all are leaves
    tape.start(true);
    Var in[3];
    for (int i = 0; i < 3; ++i) in[i] = only < 0 || i == only ? add_leaf(tape, *all[i]) : tape.constant(all[i]->value);
    const Var logdet = zero_sums(tape, kMap.n);
    gaussian_log_density(tape, affine_coupling(tape, in[0], in[1], in[2], logdet, kCheckerboard, {}), logdet);
    tape.backward(mean_negative_log_prob(tape, logdet, nats_per_bit_per_dim(1)));
  };
  run(-1);
  std::vector<std::vector<double>> together;
  for (const Leaf* const leaf : all) together.push_back(to_doubles(leaf->grad));
  for (int only = 0; only < 3; ++only) {
    run(only);
    CHECK(to_doubles(all[only]->grad) == together[only]);
  }
}

TEST_CASE("backward explains what it cannot do") {
  Arena memory;
  const Leaf z = random_leaf(memory, kMap, 1);
  const Leaf scalar = random_leaf(memory, Shape{}, 2);
  Tape tape(Device::kReference);
  tape.start(false);
  const Var unrecorded = gaussian_loss(tape, add_leaf(tape, z));
  CHECK(error_of([&] { tape.backward(unrecorded); }).find("recording") != std::string::npos);
  tape.start(true);
  const Var x = add_leaf(tape, z);
  CHECK(error_of([&] { tape.backward(x); }).find("a loss") != std::string::npos);
  const Var constant = tape.constant(scalar.value);
  CHECK(error_of([&] { tape.backward(constant); }).find("does not depend") != std::string::npos);
}

/// The inputs of any coupling on a tape: of the additive one t, of the others st.
struct CouplingInputs {
  Var z, st, t, scaling_factor, logdet;
};

/// The three ops of a coupling.
struct CouplingOps {
  std::function<Var(Tape& tape, const CouplingInputs& in)> forward;
  std::function<void(Tape& tape, Var z_out, const CouplingInputs& in)> inverse;
  std::function<void(Tape& tape, Var z_out, const CouplingInputs& in)> rebuild;
};

std::vector<CouplingOps> all_couplings() {
  std::vector<CouplingOps> all;
  for (const ScaleBound bound :
       {ScaleBound::kNone, ScaleBound::kTanh, ScaleBound::kLearnedTanh, ScaleBound::kSigmoid}) {
    const AffineForm form{bound, bound == ScaleBound::kLearnedTanh, 0.5f};
    const auto scaling = [=](const CouplingInputs& in) {
      return bound == ScaleBound::kLearnedTanh ? in.scaling_factor : Var{};
    };
    all.push_back({[=](Tape& tape, const CouplingInputs& in) {
                     return affine_coupling(tape, in.z, in.st, scaling(in), in.logdet, kCheckerboard, form);
                   },
                   [=](Tape& tape, Var z_out, const CouplingInputs& in) {
                     affine_coupling_inverse(tape, z_out, in.st, scaling(in), in.logdet, kCheckerboard, form);
                   },
                   [=](Tape& tape, Var z_out, const CouplingInputs& in) {
                     rebuild_affine_coupling(tape, z_out, in.z, in.st, scaling(in), in.logdet, kCheckerboard, form);
                   }});
  }
  all.push_back(
      {[](Tape& tape, const CouplingInputs& in) { return additive_coupling(tape, in.z, in.t, kCheckerboard); },
       [](Tape& tape, Var z_out, const CouplingInputs& in) {
         additive_coupling_inverse(tape, z_out, in.t, kCheckerboard);
       },
       [](Tape& tape, Var z_out, const CouplingInputs& in) {
         rebuild_additive_coupling(tape, z_out, in.z, in.t, kCheckerboard);
       }});
  return all;
}

/// The leaves that all of these have between them.
struct AllCouplingLeaves : CouplingLeaves {
  Leaf t;
  std::vector<double> z_before;

  explicit AllCouplingLeaves(Arena& arena)
      : CouplingLeaves(arena), t(random_leaf(arena, kMap, 4)), z_before(to_doubles(z.value)) {}

  CouplingInputs on(Tape& tape) const {
    return {add_leaf(tape, z), add_leaf(tape, st), add_leaf(tape, t), add_leaf(tape, scaling_factor),
            zero_sums(tape, kMap.n)};
  }
  void restore_z() const { upload(Device::kReference, z.value, z_before.data()); }
};

TEST_CASE("without recording, couplings work in place, and their inverses undo them and their log-determinants") {
  Arena memory;
  const AllCouplingLeaves leaves(memory);
  Tape tape(Device::kReference);
  for (const CouplingOps& coupling : all_couplings()) {
    leaves.restore_z();
    tape.start(false);
    CouplingInputs in = leaves.on(tape);
    const Var out = coupling.forward(tape, in);
    CHECK(out.id == in.z.id);
    const std::vector<double> transformed = to_doubles(leaves.z.value);
    CHECK(transformed != leaves.z_before);
    coupling.inverse(tape, out, in);
    check_near(to_doubles(leaves.z.value), leaves.z_before);
    check_near(to_doubles(tape.value(in.logdet)), std::vector<double>(kMap.n));
    upload(tape.device(), leaves.z.value, transformed.data());
    in.logdet = Var{};  // nobody wants it
    coupling.inverse(tape, out, in);
    check_near(to_doubles(leaves.z.value), leaves.z_before);
  }
}

TEST_CASE("with recording, couplings leave their input as it was and give the same values") {
  Arena memory;
  const AllCouplingLeaves leaves(memory);
  Tape tape(Device::kReference);
  for (const CouplingOps& coupling : all_couplings()) {
    leaves.restore_z();
    std::vector<double> results[2], logdets[2];
    for (const bool recording : {true, false}) {
      tape.start(recording);
      const CouplingInputs in = leaves.on(tape);
      const Var out = coupling.forward(tape, in);
      if (recording) CHECK(to_doubles(leaves.z.value) == leaves.z_before);
      results[recording] = to_doubles(tape.value(out));
      logdets[recording] = to_doubles(tape.value(in.logdet));
    }
    CHECK(results[0] == results[1]);
    CHECK(logdets[0] == logdets[1]);
  }
}

/// A coupling that kept nothing.
struct RebuildNode {
  const CouplingOps* coupling;
  Var z_out;
  CouplingInputs in;

  void backward(Tape& tape) const {
    tape.finished_grad(z_out);
    tape.finished_grad(in.logdet);
    tape.backward_through([&] { coupling->rebuild(tape, z_out, in); });
  }
};

TEST_CASE("a rebuilt coupling has the gradients of one that kept its input, and leaves logdet alone") {
  Arena memory;
  const AllCouplingLeaves leaves(memory);
  Tape tape(Device::kReference);
  for (const CouplingOps& coupling : all_couplings()) {
    std::vector<std::vector<double>> results[2];
    for (const bool rebuild : {false, true}) {
      leaves.restore_z();
      tape.start(true);
      const CouplingInputs in = leaves.on(tape);
      Var out;
      if (rebuild) {
        out = tape.in_place(in.z);
        {
          const TapePause pause(tape);
          coupling.forward(tape, in);
        }
        tape.record(RebuildNode{&coupling, out, in});
      } else {
        out = coupling.forward(tape, in);
      }
      gaussian_log_density(tape, out, in.logdet);
      tape.backward(mean_negative_log_prob(tape, in.logdet, nats_per_bit_per_dim(1)));
      results[rebuild] = {to_doubles(tape.value(in.logdet)), to_doubles(leaves.z.value)};
      for (const Leaf* const leaf : {&leaves.z, &leaves.st, &leaves.t, &leaves.scaling_factor}) {
        results[rebuild].push_back(to_doubles(leaf->grad));
      }
    }
    for (std::size_t i = 0; i < results[0].size(); ++i) check_near(results[1][i], results[0][i]);
  }
}

TEST_CASE("without recording, a scope gives its memory back and no result needs a gradient") {
  Arena memory;
  const Leaf z = random_leaf(memory, kMap, 1);
  Tape tape(Device::kReference);
  for (const bool recording : {false, true}) {
    tape.start(recording);
    const Var x = add_leaf(tape, z);
    void* inside[2];
    for (void*& address : inside) {
      const TapeScope scope(tape);
      const Var y = concat_elu(tape, x);
      address = tape.value(y).raw();
      CHECK(tape.needs_grad(y) == recording);
    }
    CHECK((inside[0] == inside[1]) == !recording);
  }
}

TEST_CASE("what is computed while a tape pauses is not recorded, and what works in place shares its memory") {
  Arena memory;
  const Leaf z = random_leaf(memory, kMap, 1);
  Tape tape(Device::kReference);
  tape.set_recompute(true);
  CHECK_FALSE(tape.recompute());  // nothing is recorded yet
  tape.start(true);
  CHECK(tape.recompute());
  const Var x = add_leaf(tape, z);
  {
    const TapePause pause(tape);
    CHECK_FALSE(tape.recording());
    CHECK_FALSE(tape.recompute());
    CHECK_FALSE(tape.needs_grad(concat_elu(tape, x)));
  }
  CHECK(tape.recording());
  const Var over = tape.in_place(x);
  CHECK(over.id != x.id);
  CHECK(tape.value(over).raw() == tape.value(x).raw());
  tape.backward(gaussian_loss(tape, over));
  CHECK(tape.finished_grad(over).raw() == tape.finished_grad(x).raw());
}

TEST_CASE("a step finds its values and gradients at the addresses of the step before") {
  Arena memory;
  // More than one block of the arena in the second case: those become one before the second step.
  for (const MapShape map : {kMap, MapShape{64, 64, 64, 2}}) {
    const Leaf z = random_leaf(memory, map, 1);
    Tape tape(Device::kReference);
    std::vector<std::vector<const void*>> addresses;
    std::vector<std::size_t> capacities;
    for (int step = 0; step < 4; ++step) {
      tape.start(true);
      const Var x = add_leaf(tape, z);
      const Var y = concat_elu(tape, x), squeezed = squeeze(tape, y), loss = gaussian_loss(tape, squeezed);
      tape.backward(loss);
      addresses.emplace_back();
      for (const Var v : {y, squeezed, loss}) {
        addresses.back().push_back(tape.value(v).raw());
        addresses.back().push_back(tape.finished_grad(v).raw());
      }
      capacities.push_back(tape.arena().capacity());
    }
    for (int step = 2; step < 4; ++step) {
      CHECK(addresses[step] == addresses[1]);
      CHECK(capacities[step] == capacities[1]);
    }
  }
}

}  // namespace flowsmith::core::testing
