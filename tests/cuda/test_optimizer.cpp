// Adam and the gradient norm on the GPU against the reference; a step that is not finite leaves no trace.
#include "kernels/optimizer.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

constexpr std::size_t kSizes[] = {1, 3, 4, 31, 1025, 4095, 4096, 4097, 20001};

double gpu_squared_norm(const std::vector<float>& x) {
  const DeviceArray<float> in(x);
  DeviceArray<double> result(1);
  squared_norm(result.data(), in.data(), x.size(), test_stream());
  return result.host()[0];
}

TEST_CASE("gpu squared norm agrees with the reference at any alignment") {
  for (std::size_t size : kSizes) {
    CAPTURE(size);
    const auto x = random_normal<float>(size + 1, 1);
    for (std::size_t skip : {0, 1}) {
      const DeviceArray<float> in(x);
      const Outputs got = run_schedules([&] {
        DeviceArray<double> result(1);
        squared_norm(result.data(), in.data() + skip, size, test_stream());
        return outputs(result.host());
      });
      // Sums of doubles in another order.
      double want = 0;
      squared_norm(&want, x.data() + skip, size, Reference{});
      CHECK(got[0][0] == Approx(want).epsilon(1e-14));
    }
  }
}

TEST_CASE("gpu squared norm is finite exactly if every element is") {
  CHECK(std::isfinite(gpu_squared_norm(std::vector<float>(9001, std::numeric_limits<float>::max()))));
  for (float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    for (std::size_t at : {0, 4095, 4096, 9000}) {
      std::vector<float> x(9001, 1.0f);
      x[at] = bad;
      CHECK_FALSE(std::isfinite(gpu_squared_norm(x)));
    }
  }
  CHECK(gpu_squared_norm({}) == 0);
}

/// The state of a few parameters on the device.
struct State {
  DeviceArray<float> param, m, v;
  DeviceArray<std::int64_t> steps_taken{std::vector<std::int64_t>{0}};

  explicit State(std::size_t size)
      : param(random_normal<float>(size, 2)),
        m(random_normal<float>(size, 3, 0.1)),
        v(random_uniform<float>(size, 4)) {}

  void step(const std::vector<float>& grad, double squared_norm, double loss, const AdamInputs& inputs) {
    const DeviceArray<float> g(grad);
    const DeviceArray<double> norm(std::vector<double>{squared_norm}), value(std::vector<double>{loss});
    const DeviceArray<AdamInputs> in(std::vector<AdamInputs>{inputs});
    adam_step(param.data(), m.data(), v.data(), steps_taken.data(), g.data(), norm.data(), value.data(), in.data(),
              grad.size(), test_stream());
  }
  Outputs host() const { return outputs(param.host(), m.host(), v.host()); }
};

TEST_CASE("gpu Adam agrees with the reference, clipped and not") {
  for (std::size_t size : {1, 3, 4, 31, 1025}) {
    for (double max_norm : {0.0, 0.5, 1e9}) {
      CAPTURE(size, max_norm);
      const auto grad = random_normal<float>(size, 1);
      const AdamOptions options{0.01, 0.9, 0.99, 1e-8};
      auto param = random_normal<float>(size, 2), m = random_normal<float>(size, 3, 0.1);
      auto v = random_uniform<float>(size, 4);
      double squares = 0;
      squared_norm(&squares, grad.data(), size, Reference{});
      std::int64_t steps_taken = 0;
      const double loss = 3.5;
      for (int step = 1; step <= 5; ++step) {
        const AdamInputs inputs{options, step, max_norm};
        adam_step(param.data(), m.data(), v.data(), &steps_taken, grad.data(), &squares, &loss, &inputs, size,
                  Reference{});
      }
      const Outputs got = run_schedules([&] {
        State state(size);
        for (int step = 1; step <= 5; ++step) state.step(grad, squares, loss, {options, step, max_norm});
        return state.host();
      });
      // The same operations in double; a GPU's multiply-add may turn the one rounding to float of a step.
      CHECK(relative_error(got[0], param) < 2e-7);
      CHECK(relative_error(got[1], m) < 2e-7);
      CHECK(relative_error(got[2], v) < 2e-7);
    }
  }
}

TEST_CASE("gpu Adam writes nothing if the loss or the norm is not finite") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  const std::size_t size = 1030;
  const auto grad = random_normal<float>(size, 1);
  for (const auto& [norm, loss] :
       {std::pair{inf, 1.0}, {double(NAN), 1.0}, {1.0, inf}, {1.0, -inf}, {1.0, double(NAN)}}) {
    CAPTURE(norm, loss);
    State state(size);
    const Outputs before = state.host();
    state.step(grad, norm, loss, {{}, 1, 1.0});
    const Outputs after = state.host();
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(same_bits(after[i], before[i]));
    CHECK(state.steps_taken.host()[0] == 0);
  }
}

TEST_CASE("gpu Adam takes no step whose predecessor was not taken, until that one is") {
  const auto grad = random_normal<float>(1030, 1);
  const auto is = [&](const State& state, const Outputs& wanted) {
    const Outputs got = state.host();
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], wanted[i]));
  };
  State state(grad.size());
  state.step(grad, 1.0, 1.0, {{}, 1, 1.0});
  const Outputs first = state.host();
  state.step(grad, 1.0, NAN, {{}, 2, 1.0});  // fails
  state.step(grad, 1.0, 1.0, {{}, 3, 1.0});  // was on its way already
  is(state, first);
  CHECK(state.steps_taken.host()[0] == 1);

  State unbroken(grad.size());
  for (int step = 1; step <= 3; ++step) unbroken.step(grad, 1.0, 1.0, {{}, step, 1.0});
  for (int step = 2; step <= 3; ++step) state.step(grad, 1.0, 1.0, {{}, step, 1.0});
  is(state, unbroken.host());
  CHECK(state.steps_taken.host()[0] == 3);
}

TEST_CASE("gpu Adam of no parameter") {
  State state(0);
  state.step({}, 0, 1, {});
  CHECK(state.steps_taken.host()[0] == 1);
}

}  // namespace
}  // namespace flowsmith::core::testing
