// A matrix from its LU factors.
#include "kernels/linear_algebra.h"
#include "kernels/permute.h"
#include "kernels/plu.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

/// Factors in one place; what is not read of them is NaN.
template <class T>
struct Factors {
  std::vector<std::uint32_t> permutation;
  std::vector<T> lower, upper, log_scale, sign;

  explicit Factors(int c)
      : permutation(random_order(c, 1)),
        lower(random_normal<T>(c * c, 1, 1 / std::sqrt(c))),
        upper(random_normal<T>(c * c, 2)),
        log_scale(random_normal<T>(c, 3, 0.3)),
        sign(random_normal<T>(c, 4)) {
    for (T& value : sign) value = value < 0 ? -1 : 1;
    for (int i = 0; i < c; ++i) {
      for (int j = 0; j < c; ++j) (i > j ? upper : lower)[i * c + j] = T(NAN);
      upper[i * c + i] = T(NAN);
    }
  }

  PluParameters<T> parameters() const {
    return {permutation.data(), lower.data(), upper.data(), log_scale.data(), sign.data()};
  }
};

TEST_CASE("a matrix comes back from its LU factors, and its log|det| is the sum of log_scale") {
  for (int c : {1, 3, 5, 12, 48}) {
    const auto matrix = random_normal<double>(c * c, 5);
    const PluFactors f = plu_of(matrix, c);
    std::vector<double> weight(c * c);
    compose_plu_forward<double>(
        weight.data(), {f.permutation.data(), f.lower.data(), f.upper.data(), f.log_scale.data(), f.sign.data()}, c,
        Reference{});
    CHECK(relative_error(weight, matrix) < 1e-13);
    const Factors<double> random(c);
    compose_plu_forward(weight.data(), random.parameters(), c, Reference{});
    double sum = 0;
    for (double log_scale : random.log_scale) sum += log_scale;
    CHECK(log_abs_det(weight, c) == Approx(sum).margin(1e-12));
  }
}

TEST_CASE("LU factor gradients") {
  for (int c : {1, 3, 12}) {
    Factors<double> f(c);
    // Here the differences touch what is not learned: the gradient of it is 0.
    for (auto* factor : {&f.lower, &f.upper}) {
      for (double& value : *factor) value = std::isnan(value) ? 0 : value;
    }
    const auto dweight = random_normal<double>(c * c, 6);
    check_gradients(
        {f.lower, f.upper, f.log_scale},
        [&](const Inputs& in) {
          std::vector<double> weight(c * c);
          compose_plu_forward<double>(weight.data(),
                                      {f.permutation.data(), in[0].data(), in[1].data(), in[2].data(), f.sign.data()},
                                      c, Reference{});
          return dot(weight, dweight);
        },
        [&](const Inputs& in, const Gradients& g) {
          compose_plu_backward<double>({g[0], g[1], g[2]}, dweight.data(),
                                       {f.permutation.data(), in[0].data(), in[1].data(), in[2].data(), f.sign.data()},
                                       c, Reference{});
        });
  }
}

TEST_CASE("cpu LU factors agree with the reference") {
  for (int c : {1, 3, 12, 48, 257}) {
    const Factors<float> f(c);
    const auto dweight = random_normal<float>(c * c, 6);
    for (GradMode mode : kGradModes) {
      const auto run = [&](auto backend) {
        std::vector<float> weight(c * c);
        auto dlower = random_normal<float>(c * c, 7), dupper = random_normal<float>(c * c, 8);
        auto dlog_scale = random_normal<float>(c, 9);
        const Grad<float> lower{dlower.data(), mode}, upper{dupper.data(), mode}, log_scale{dlog_scale.data(), mode};
        compose_plu_forward(weight.data(), f.parameters(), c, backend);
        compose_plu_backward({lower, {}, log_scale}, dweight.data(), f.parameters(), c, backend);
        compose_plu_backward({{}, upper, {}}, dweight.data(), f.parameters(), c, backend);
        compose_plu_backward({}, dweight.data(), f.parameters(), c, backend);
        return outputs(weight, dlower, dupper, dlog_scale);
      };
      check_cpu(run, 1e-7);  // sums in double, in another order, rounded to float
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
