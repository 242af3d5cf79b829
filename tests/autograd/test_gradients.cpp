// The gradients of all ops, and the checker that judges them.
#include <catch2/catch.hpp>
#include <cmath>

#include "autograd/gradient_suite.h"
#include "autograd/ops.h"
#include "tests/support/error_of.h"

namespace flowsmith::core {
namespace {

void run_all(const std::vector<GradientCase>& cases) {
  REQUIRE(cases.size() > 100);
  for (const GradientCase& gradient_case : cases) {
    for (const GradientCheck& check : gradient_case.run()) {
      INFO(gradient_case.name << ", " << check.input << " at " << check.where);
      CHECK(check.error <= gradient_case.bound);
    }
  }
}

/// What is wrong with the gradient of the op below.
enum class Fault { kNone, kScale, kOneElement, kNeverAccumulates, kAlwaysAccumulates, kNan, kMissing };

/// y = x^3, element by element.
struct CubeNode {
  Var y, x;
  Fault fault;

  void backward(Tape& tape) const {
    const Tensor in = tape.value(x), dy = tape.finished_grad(y);
    Grad<double> dx = tape.grad<double>(x);
    if (fault == Fault::kNeverAccumulates) dx.mode = GradMode::kOverwrite;
    if (fault == Fault::kAlwaysAccumulates) dx.mode = GradMode::kAccumulate;
    const std::size_t last = in.size() - 1;
    for (std::size_t i = 0; i < in.size(); ++i) {
      const double v = in.data<double>()[i];
      double gradient = 3 * v * v * dy.data<double>()[i];
      if (fault == Fault::kScale) gradient *= 1.00001;
      if (fault == Fault::kOneElement && i == last) gradient *= 1.01;
      if (fault == Fault::kNan && i == last) gradient = NAN;
      if (fault == Fault::kMissing) gradient = 0;
      dx.write(i, gradient);
    }
  }
};

Computation cube(Fault fault) {
  return [fault](Tape& tape, std::span<const Var> in) -> std::vector<Var> {
    const Tensor x = tape.value(in[0]);
    const Var y = tape.output(x.dtype(), x.shape(), true);
    for (std::size_t i = 0; i < x.size(); ++i) tape.value(y).data<double>()[i] = std::pow(x.data<double>()[i], 3);
    tape.record(CubeNode{y, in[0], fault});
    return {y};
  };
}

std::vector<NamedArray> cube_input(int size) {
  NamedArray x{"x", Shape{size}, {}};
  for (int i = 0; i < size; ++i) x.values.push_back(1 + 0.5 * std::sin(i));
  return {x};
}

}  // namespace

TEST_CASE("every op's gradient is the derivative of its values") { run_all(op_difference_cases()); }

TEST_CASE("every op's float gradient on the CPU is that of the reference") { run_all(op_float_cases(Device::kCpu)); }

TEST_CASE("every op's float gradient by the GPU's kernels is that of the reference", "[gpu]") {
  run_all(op_float_cases(Device::kEmulated));
}

TEST_CASE("the checker accepts a right gradient and sees what is wrong with a wrong one") {
  // All elements one by one, and only some of them with a direction for the others.
  for (const int size : {5, 500}) {
    const auto check = [&](Fault fault) {
      const std::vector<GradientCheck> checks = check_gradients(cube_input(size), cube(fault));
      REQUIRE(checks.size() == 1);
      CHECK(checks[0].input == "x");
      CHECK(checks[0].size == std::size_t(size));
      return checks[0].error;
    };
    CHECK(check(Fault::kNone) <= kGradientBound);
    for (const Fault fault : {Fault::kScale, Fault::kOneElement, Fault::kNeverAccumulates, Fault::kMissing}) {
      INFO("fault " << int(fault) << ", size " << size);
      CHECK(check(fault) > kGradientBound);
    }
    // Gradients start as NaN: what is added to them, and what is NaN itself, ends as an infinite error.
    for (const Fault fault : {Fault::kAlwaysAccumulates, Fault::kNan}) CHECK(std::isinf(check(fault)));
  }
}

TEST_CASE("the checker names the element with the worst error") {
  const std::vector<GradientCheck> checks = check_gradients(cube_input(5), cube(Fault::kOneElement));
  CHECK(checks[0].where == "element 4");
  CHECK(checks[0].error == Approx(0.01).epsilon(0.02));  // 1% of the gradient, over the wrong one
}

TEST_CASE("the checker wants as many values as the shape has elements") {
  const std::vector<NamedArray> inputs{{"x", Shape{3}, {1, 2}}};
  CHECK(error_of([&] { check_gradients(inputs, cube(Fault::kNone)); }).find("input x") != std::string::npos);
}

TEST_CASE("comparing gradients measures the distance relative to the expected norm") {
  const std::vector<std::string> names{"right", "wrong", "small", "broken"};
  const std::vector<std::vector<double>> expected{{3, 4}, {3, 4}, {0, 0}, {3, 4}};
  const std::vector<std::vector<double>> got{{3, 4}, {3, 4.5}, {0, 1e-3}, {3, NAN}};
  const std::vector<GradientCheck> checks = compare_gradients(names, got, expected);
  CHECK(checks[0].error == 0);
  CHECK(checks[1].error == Approx(0.1));
  CHECK(checks[2].error == Approx(1e-3 / (0.01 * 5)));  // against a hundredth of the largest gradient
  CHECK(std::isinf(checks[3].error));
}

}  // namespace flowsmith::core
