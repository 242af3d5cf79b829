// The loss, its units and importance weighting.
#include "kernels/likelihood.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

TEST_CASE("eight fair bits per pixel are eight bits per dimension") {
  CHECK(bits_per_dim(-784 * 8 * std::log(2.0), 784) == Approx(8).epsilon(1e-15));
  const std::vector<double> log_prob{-1 * std::log(2.0), -5 * std::log(2.0), -6 * std::log(2.0)};
  for (std::size_t dims : {2, 784, 3072}) {
    double sum = 0, loss = 0;
    for (double value : log_prob) sum += bits_per_dim(value, dims);
    mean_negative_log_prob(&loss, log_prob.data(), 3, nats_per_bit_per_dim(dims), Reference{});
    CHECK(loss == sum / 3);
  }
  double bits = 0, nats = 0;
  mean_negative_log_prob(&bits, log_prob.data(), 3, nats_per_bit_per_dim(2), Cpu{});
  CHECK(bits == Approx(2).epsilon(1e-15));
  mean_negative_log_prob(&nats, log_prob.data(), 3, 1, Cpu{});
  CHECK(nats == Approx(4 * std::log(2.0)).epsilon(1e-15));
  CHECK(std::isnan(bits_per_dim(NAN, 3)));
}

TEST_CASE("mean_negative_log_prob gradients") {
  const double dloss = 0.7;
  for (int n : {1, 3, 31}) {
    check_gradients(
        {random_normal<double>(n, 1)},
        [&](const Inputs& in) {
          double loss = 0;
          mean_negative_log_prob(&loss, in[0].data(), n, 2.5, Reference{});
          return dloss * loss;
        },
        [&](const Inputs&, const Gradients& gradients) {
          mean_negative_log_prob_backward(gradients[0], &dloss, n, 2.5, Reference{});
        });
  }
}

TEST_CASE("log_mean_exp is the logarithm of the mean") {
  const std::vector<double> log_prob{std::log(1.0), 99, std::log(2.0), 99, std::log(6.0)};
  CHECK(log_mean_exp(log_prob.data(), 3, 2) == Approx(std::log(3.0)).epsilon(1e-15));
  CHECK(log_mean_exp(log_prob.data(), 1, 5) == log_prob[0]);
}

TEST_CASE("log_mean_exp neither overflows nor underflows") {
  for (double shift : {-1e5, 1e5}) {
    const std::vector<double> log_prob{shift, shift + std::log(3.0)};
    CHECK(log_mean_exp(log_prob.data(), 2, 1) == Approx(shift + std::log(2.0)).epsilon(1e-15));
  }
  const std::vector<double> far{0, -1e300};
  CHECK(log_mean_exp(far.data(), 2, 1) == Approx(-std::log(2.0)).epsilon(1e-15));
}

TEST_CASE("log_mean_exp counts -inf as probability 0 and passes NaN on") {
  const std::vector<double> one{-kInf, 1.5}, none{-kInf, -kInf}, infinite{0, kInf};
  CHECK(log_mean_exp(one.data(), 2, 1) == Approx(1.5 - std::log(2.0)).epsilon(1e-15));
  CHECK(log_mean_exp(none.data(), 2, 1) == -kInf);
  CHECK(log_mean_exp(infinite.data(), 2, 1) == kInf);
  for (std::vector<double> bad : {std::vector<double>{NAN, 1}, {1, NAN}, {NAN, NAN}, {NAN, kInf}, {-kInf, NAN}}) {
    CHECK(std::isnan(log_mean_exp(bad.data(), 2, 1)));
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
