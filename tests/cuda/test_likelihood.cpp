// The loss and importance weighting on the GPU against the host's.
#include "kernels/likelihood.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

const double kUnit = nats_per_bit_per_dim(784);

TEST_CASE("gpu mean negative log-likelihood agrees with the host") {
  for (int n : {1, 3, 257, 1000}) {
    auto values = random_normal<double>(n, 1, 100);
    for (double& value : values) value -= 1000;
    const DeviceArray<double> log_prob(values);
    const Outputs got = run_schedules([&] {
      DeviceArray<double> loss(1);
      mean_negative_log_prob(loss.data(), log_prob.data(), n, kUnit, test_stream());
      return outputs(loss.host());
    });
    double want = 0;
    mean_negative_log_prob(&want, values.data(), n, kUnit, Reference{});
    CHECK(got[0][0] == Approx(want).epsilon(1e-14));  // another order
  }
}

TEST_CASE("gpu gradient of the mean negative log-likelihood has the bits of the host's") {
  const int n = 300;
  constexpr double kDLoss = 0.75;
  const auto before = random_normal<double>(n, 1);
  const DeviceArray<double> dloss(std::vector<double>{kDLoss});
  for (GradMode mode : kGradModes) {
    std::vector<double> want = before;
    mean_negative_log_prob_backward({want.data(), mode}, &kDLoss, n, kUnit, Reference{});
    const Outputs got = run_schedules([&] {
      DeviceArray<double> dlog_prob =
          mode == GradMode::kAccumulate ? DeviceArray<double>(before) : DeviceArray<double>(n);
      mean_negative_log_prob_backward(dlog_prob.grad(mode), dloss.data(), n, kUnit, test_stream());
      return outputs(dlog_prob.host());
    });
    CHECK(same_bits(got[0], want));
  }
  mean_negative_log_prob_backward({}, dloss.data(), n, kUnit, test_stream());
}

TEST_CASE("gpu log_mean_exp agrees with the host, at the ends of the number line too") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  for (int n : {1, 3, 300}) {
    for (int m : {1, 2, 7, 64}) {
      CAPTURE(n, m);
      auto values = random_normal<double>(std::size_t(m) * n, 1, 20);
      for (double& value : values) value -= 3000;  // exp of it is 0
      if (n == 3 && m == 7) {
        values[0] = -inf;                                      // a draw of probability 0
        for (int j = 0; j < m; ++j) values[j * n + 1] = -inf;  // all of them
        values[2 * n + 2] = NAN;
      }
      const DeviceArray<double> log_prob(values);
      const Outputs got = run_schedules([&] {
        DeviceArray<double> out(n);
        log_mean_exp(out.data(), log_prob.data(), m, n, test_stream());
        return outputs(out.host());
      });
      for (int i = 0; i < n; ++i) {
        const double want = log_mean_exp(values.data() + i, m, n);
        if (std::isnan(want)) {
          CHECK(std::isnan(got[0][i]));
        } else if (std::isinf(want)) {
          CHECK(got[0][i] == want);
        } else {
          CHECK(got[0][i] == Approx(want).epsilon(1e-14));  // exp and log of a GPU may differ in the last bit
        }
      }
    }
  }
}

TEST_CASE("gpu likelihood of no image") {
  DeviceArray<double> loss(std::vector<double>{1}), nothing(0);
  mean_negative_log_prob(loss.data(), nothing.data(), 0, kUnit, test_stream());
  CHECK(std::isnan(loss.host()[0]));  // as on the host: 0/0
  mean_negative_log_prob_backward(nothing.grad(), loss.data(), 0, kUnit, test_stream());
  log_mean_exp(nothing.data(), nothing.data(), 3, 0, test_stream());
}

}  // namespace
}  // namespace flowsmith::core::testing
