// Adam against hand-computed steps and a PyTorch run; the gradient norm and its clipping.
#include <limits>

#include "kernels/optimizer.h"
#include "kernels/optimizer_math.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

template <class T, class Backend>
double norm_of(const std::vector<T>& x, Backend backend) {
  double result = -1;
  squared_norm(&result, x.data(), x.size(), backend);
  return result;
}

/// The state of a few parameters.
template <class T>
struct State {
  std::vector<T> param, m, v;
  std::int64_t steps_taken = 0;

  template <class Backend>
  void step(const std::vector<T>& grad, double squared_norm, double loss, const AdamInputs& inputs, Backend backend) {
    adam_step(param.data(), m.data(), v.data(), &steps_taken, grad.data(), &squared_norm, &loss, &inputs, grad.size(),
              backend);
  }
};

TEST_CASE("the first Adam steps by hand") {
  AdamOptions options;
  options.lr = 0.1;
  options.eps = 0.5;
  State<double> state{{1}, {0}, {0}};
  // m = 0.1 * 2, v = 0.001 * 4; corrected 2 and 4: 0.1 * 2 / (2 + 0.5).
  state.step({2}, 4, 0, {options, 1, 0}, Reference{});
  CHECK(state.m[0] == Approx(0.2).epsilon(1e-14));
  CHECK(state.v[0] == Approx(0.004).epsilon(1e-14));
  CHECK(state.param[0] == Approx(0.92).epsilon(1e-14));
  // m = 0.9*0.2 + 0.1*(-1) = 0.08, corrected by 0.19; v = 0.999*0.004 + 0.001 = 0.004996, corrected by 0.001999.
  state.step({-1}, 1, 0, {options, 2, 0}, Reference{});
  CHECK(state.m[0] == Approx(0.08).epsilon(1e-14));
  CHECK(state.v[0] == Approx(0.004996).epsilon(1e-14));
  CHECK(state.param[0] == Approx(0.92 - 0.1 * (0.08 / 0.19) / (std::sqrt(0.004996 / 0.001999) + 0.5)).epsilon(1e-12));
}

// torch.optim.Adam (PyTorch 1.13) after torch.nn.utils.clip_grad_norm_ with max_norm 1, in float64.
TEST_CASE("three clipped Adam steps are PyTorch's") {
  const Inputs grads{{0.3, -2.0, 1e-4}, {-0.1, -1.0, 4.0}, {0.7, 0.25, -3.0}};
  const Inputs want{{0.49000000067412525, -1.2400000001011189, 1.9900020219669263},
                    {0.48458821492359316, -1.2317195395310168, 1.9825603124005124},
                    {0.476952338192753, -1.2258452266671436, 1.9830154553961161}};
  AdamOptions options;
  options.lr = 0.01;
  State<double> state{{0.5, -1.25, 2.0}, std::vector<double>(3), std::vector<double>(3)};
  State<float> state_f{{0.5f, -1.25f, 2.0f}, std::vector<float>(3), std::vector<float>(3)};
  for (int step = 0; step < 3; ++step) {
    const double norm = norm_of(grads[step], Reference{});
    state.step(grads[step], norm, 0, {options, step + 1, 1}, Reference{});
    CHECK(relative_error(state.param, want[step]) < 1e-15);
    const std::vector<float> grad_f(grads[step].begin(), grads[step].end());
    state_f.step(grad_f, norm, 0, {options, step + 1, 1}, Cpu{});
    CHECK(relative_error(state_f.param, want[step]) < 2e-7);  // one float rounding of the parameter per step
  }
  CHECK(relative_error(state.m, std::vector<double>{0.03248188881946904, -0.09383683987200962, -0.009773844713882748}) <
        1e-14);
  CHECK(relative_error(
            state.v, std::vector<double>{7.384362092751611e-05, 0.0010413120460342755, 0.0018818432145361402}) < 1e-14);
}

TEST_CASE("clip_factor") {
  CHECK(clip_factor(0.5, 1) == 1);
  CHECK(clip_factor(0, 1) == 1);
  CHECK(clip_factor(4, 1) == Approx(0.25 / (1 + 0.25e-6)).epsilon(1e-15));
  CHECK(clip_factor(1e9, 0) == 1);
  CHECK(clip_factor(1e9, -1) == 1);
  CHECK(clip_factor(std::numeric_limits<double>::infinity(), 1) == 0);
  CHECK(std::isnan(clip_factor(NAN, 1)));
}

TEST_CASE("squared_norm is finite exactly if every element is") {
  const auto run = [](auto backend) {
    std::vector<float> x(9001, std::numeric_limits<float>::max());
    CHECK(std::isfinite(norm_of(x, backend)));
    for (float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
      for (std::size_t at : {0, 4095, 4096, 9000}) {
        std::vector<float> y(9001, 1.0f);
        y[at] = bad;
        CHECK_FALSE(std::isfinite(norm_of(y, backend)));
      }
    }
    CHECK(norm_of(std::vector<float>{}, backend) == 0);
  };
  run(Reference{});
  run(Cpu{});
  const std::vector<double> x{3, 4};
  CHECK(norm_of(x, Reference{}) == 25);
}

TEST_CASE("Adam takes no step that is not finite, nor one whose predecessor was not taken") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  const auto run = [&](auto backend) {
    State<float> state{{1, 2}, {3, 4}, {5, 6}};
    const Outputs before = outputs(state.param, state.m, state.v);
    for (const auto& [norm, loss] :
         {std::pair{inf, 1.0}, {double(NAN), 1.0}, {1.0, inf}, {1.0, -inf}, {1.0, double(NAN)}}) {
      state.step({7, 8}, norm, loss, {{}, 1, 1.0}, backend);
    }
    state.step({7, 8}, 1, 1, {{}, 2, 1.0}, backend);  // was on its way already
    CHECK(state.steps_taken == 0);
    CHECK(outputs(state.param, state.m, state.v) == before);
    state.step({7, 8}, 1, 1, {{}, 1, 1.0}, backend);
    CHECK(state.steps_taken == 1);
    CHECK(outputs(state.param, state.m, state.v) != before);
  };
  run(Reference{});
  run(Cpu{});
}

TEST_CASE("moments of a parameter without gradient fade to zero, not into subnormal numbers") {
  constexpr float kSmallest = std::numeric_limits<float>::min();
  const auto check = [&](auto backend) {
    State<float> state{{1, 1}, {1.05f * kSmallest, -1.05f * kSmallest}, {1.0005f * kSmallest, 4 * kSmallest}};
    state.step({0, 0}, 0, 0, {{}, 1, 0}, backend);
    CHECK(state.m == std::vector<float>{0, 0});
    CHECK(state.v[0] == 0);
    CHECK(state.v[1] > 3 * kSmallest);
    CHECK(state.param == std::vector<float>{1, 1});
  };
  check(Reference{});
  check(Cpu{});
}

TEST_CASE("cpu optimizer agrees with the reference") {
  for (std::size_t size : {1, 3, 31, 257, 4095, 4097, 40001}) {
    const auto grad = random_normal<float>(size, 1);
    check_cpu([&](auto backend) { return outputs(std::vector<double>{norm_of(grad, backend)}); },
              1e-14);  // sums of doubles in another order
    const auto adam = [&](auto backend) {
      State<float> state{random_normal<float>(size, 2), random_normal<float>(size, 3, 0.1),
                         random_uniform<float>(size, 4)};
      for (int step = 1; step <= 5; ++step) state.step(grad, 1, 0, {{}, step, 0.3}, backend);
      return outputs(state.param, state.m, state.v);
    };
    check_cpu(adam, 1e-6);  // five steps of a few float roundings; the reference computes in double
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
