// Batch normalisation: a worked example, moments that keep their digits, the inverse, logdet against the Jacobian of
// fixed statistics, gradients through the statistics, running statistics, and the vectorised version against the plain
// one, with each activation.
#include "kernels/batch_norm.h"
#include "tests/support/jacobian.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/simd_targets.h"

namespace flowsmith::core::testing {
namespace {

constexpr MapShape kShapes[] = {{2, 1, 1, 1},  {3, 31, 1, 3},  {31, 1, 3, 2},  {2, 3, 5, 31},
                                {3, 5, 1, 48}, {5, 1, 1, 257}, {17, 7, 3, 64}, {2, 9, 8, 67}};
const double* const kNone = nullptr;

/// A layer of a flow, and networks with what follows their lines.
struct Form {
  bool network;
  Activation activation;
};
constexpr Form kForms[] = {{false, Activation::kNone}, {true, Activation::kNone}, {true, Activation::kRelu},
                           {true, Activation::kElu},   {true, Activation::kTanh}, {true, Activation::kLeakyRelu}};

struct Moments {
  std::vector<double> mean, var;
};

template <class T, class Backend>
Moments moments_of(const std::vector<T>& x, MapShape shape, Backend backend) {
  Moments moments{std::vector<double>(shape.c, NAN), std::vector<double>(shape.c, NAN)};
  batch_moments(moments.mean.data(), moments.var.data(), x.data(), shape, backend);
  return moments;
}

TEST_CASE("a batch is normalised by its own mean and variance") {
  const std::vector<double> x{1, 2, 4, 9}, gamma{2}, beta{-1};
  const MapShape shape{2, 1, 2, 1};
  const Moments batch = moments_of(x, shape, Reference{});
  CHECK(batch.mean[0] == 4);
  CHECK(batch.var[0] == 9.5);
  std::vector<double> y(4), logdet{1, 2};
  batch_norm_forward(y.data(), logdet.data(), x.data(), batch.mean.data(), batch.var.data(), kNone, kNone, 0.5,
                     Activation::kNone, shape, Reference{});
  for (int i = 0; i < 4; ++i) CHECK(y[i] == Approx((x[i] - 4) / std::sqrt(10)).epsilon(1e-15));
  for (int n = 0; n < 2; ++n) CHECK(logdet[n] == Approx(1 + n - std::log(10)).epsilon(1e-15));
  batch_norm_forward(y.data(), nullptr, x.data(), batch.mean.data(), batch.var.data(), gamma.data(), beta.data(), 0.5,
                     Activation::kNone, shape, Reference{});
  for (int i = 0; i < 4; ++i) CHECK(y[i] == Approx((x[i] - 4) / std::sqrt(10) * 2 - 1).epsilon(1e-15));
}

TEST_CASE("an activation follows the line, and its derivative comes first on the way back") {
  const std::vector<double> x{1, 2, 4, 9}, gamma{2}, beta{-1}, mean{4}, var{1}, dy{10, 20, 30, 40};
  const MapShape shape{2, 1, 2, 1};
  std::vector<double> y(4), dx(4), dgamma(1), dbeta(1);
  batch_norm_forward(y.data(), nullptr, x.data(), mean.data(), var.data(), gamma.data(), beta.data(), 3,
                     Activation::kRelu, shape, Reference{});
  CHECK(y == std::vector<double>{0, 0, 0, 4});  // lines -4, -3, -1, 4
  batch_norm_backward<double>({dx.data()}, {dgamma.data()}, {dbeta.data()}, dy.data(), nullptr, x.data(), mean.data(),
                              var.data(), gamma.data(), beta.data(), 3, Activation::kRelu, NormStatistics::kFixed,
                              shape, Reference{});
  CHECK(dx == std::vector<double>{0, 0, 0, 40});
  CHECK(dgamma[0] == 40 * 2.5);
  CHECK(dbeta[0] == 40);
}

/// Of an image's 45 elements in rows of 72, vectors and what they leave.
constexpr MapShape kRagged{2, 3, 5, 3};

TEMPLATE_TEST_CASE("not a number passes through batch norm and its activation, both ways", "", float, double) {
  const std::vector<double> mean(3), var(3, 1);
  const std::vector<TestType> one(3, 1);
  const auto check = [&](Activation activation, auto backend) {
    for (const std::size_t bad : {0, 44, 60, 89}) {
      CAPTURE(int(activation), bad);
      auto x = random_normal<TestType>(kRagged.size(), 1), dy = random_normal<TestType>(kRagged.size(), 2);
      std::vector<TestType> y(x.size()), dx(x.size());
      const auto backward = [&] {
        batch_norm_backward<TestType>({dx.data()}, {}, {}, dy.data(), nullptr, x.data(), mean.data(), var.data(),
                                      one.data(), one.data(), 1e-5, activation, NormStatistics::kFixed, kRagged,
                                      backend);
        for (std::size_t i = 0; i < dx.size(); ++i) CHECK(std::isnan(dx[i]) == (i == bad));
      };
      dy[bad] = NAN;
      backward();
      dy[bad] = 1;
      x[bad] = NAN;
      batch_norm_forward(y.data(), nullptr, x.data(), mean.data(), var.data(), one.data(), one.data(), 1e-5, activation,
                         kRagged, backend);
      for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::isnan(y[i]) == (i == bad));
      if (activation != Activation::kNone) backward();  // a fixed line alone has a gradient that no x changes
    }
  };
  for (const Form form : kForms) {
    check(form.activation, Reference{});
    for_each_simd_target([&] { check(form.activation, Cpu{}); });
  }
}

TEST_CASE("a line that rounds to 0 has the derivative of its y, which is 0, and not of the line") {
  const std::vector<float> x(kRagged.size(), 1e-25f), dy(x.size(), 1), gamma(3, 1e-30f), beta(3);
  const std::vector<double> mean(3), var(3, 1);
  const auto check = [&](Activation activation, double derivative, auto backend) {
    std::vector<float> y(x.size(), 1), dbeta(3);
    batch_norm_forward(y.data(), nullptr, x.data(), mean.data(), var.data(), gamma.data(), beta.data(), 1e-5,
                       activation, kRagged, backend);
    CHECK(y == std::vector<float>(x.size()));
    batch_norm_backward<float>({}, {}, {dbeta.data()}, dy.data(), nullptr, x.data(), mean.data(), var.data(),
                               gamma.data(), beta.data(), 1e-5, activation, NormStatistics::kFixed, kRagged, backend);
    for (float sum : dbeta) CHECK(sum == Approx(30 * derivative).epsilon(1e-6));
  };
  for (const auto& [activation, derivative] : {std::pair{Activation::kRelu, 0.0}, {Activation::kLeakyRelu, 0.01}}) {
    check(activation, derivative, Reference{});
    for_each_simd_target([&, act = activation, expected = derivative] { check(act, expected, Cpu{}); });
  }
}

TEST_CASE("moments keep their digits far from 0, with a first value far from the others, and of one value") {
  const MapShape shape{16, 7, 3, 3};
  auto x = random_normal<double>(shape.size(), 1);
  for (std::size_t i = 0; i < x.size(); i += 3) {
    x[i] += 1e4;      // far from 0
    x[i + 2] = -1e4;  // one value
  }
  x[1] = 1e4;  // first and far
  const Moments want = moments_of(x, shape, Reference{}), got = moments_of(x, shape, Cpu{});
  for (int k = 0; k < 2; ++k) {
    CHECK(got.mean[k] == Approx(want.mean[k]).epsilon(0).margin(1e-11));  // a first value of 1e4 rounds by 2e-12
    // m = 336 values: kernels/cpu/batch_norm.cpp says that a factor of m is what cancels.
    CHECK(got.var[k] == Approx(want.var[k]).epsilon(336 * 1e-15));
  }
  CHECK(got.mean[2] == -1e4);
  CHECK(got.var[2] == 0);
  CHECK(want.var[2] == 0);
}

TEST_CASE("batch_norm_inverse undoes batch_norm_forward for its statistics, in place too") {
  for (const MapShape shape : kShapes) {
    CAPTURE(shape.n, shape.h, shape.w, shape.c);
    const auto run = [&](auto backend, auto zero, double bound) {
      using T = decltype(zero);
      const auto x = random_normal<T>(shape.size(), 1, 3);
      const Moments batch = moments_of(x, shape, backend);
      const T* const none = nullptr;
      std::vector<T> y(x.size()), back(x.size()), in_place = x;
      std::vector<double> logdet(shape.n, 2.5);
      batch_norm_forward(y.data(), logdet.data(), x.data(), batch.mean.data(), batch.var.data(), none, none, 1e-5,
                         Activation::kNone, shape, backend);
      batch_norm_inverse(back.data(), logdet.data(), y.data(), batch.mean.data(), batch.var.data(), 1e-5, shape,
                         backend);
      CHECK(relative_error(back, x) < bound);
      CHECK(relative_error(logdet, std::vector<double>(shape.n, 2.5)) < 1e-12);  // the same sums in double, minus
      batch_norm_forward(in_place.data(), nullptr, in_place.data(), batch.mean.data(), batch.var.data(), none, none,
                         1e-5, Activation::kNone, shape, backend);
      CHECK(same_bits(in_place, y));
      batch_norm_inverse(in_place.data(), nullptr, in_place.data(), batch.mean.data(), batch.var.data(), 1e-5, shape,
                         backend);
      CHECK(same_bits(in_place, back));
    };
    // A rounding of y, which has the size of (x - mean) * rstd, and one of x.
    run(Reference{}, double{}, 1e-14);
    run(Cpu{}, double{}, 1e-14);
    run(Reference{}, float{}, 1e-6);
    run(Cpu{}, float{}, 1e-6);
  }
}

TEST_CASE("batch norm logdet is the log-determinant of the whole batch's Jacobian, statistics held") {
  const MapShape shape{2, 3, 1, 2};
  const auto x = random_normal<double>(shape.size(), 1, 2);
  const Moments batch = moments_of(x, shape, Reference{});
  std::vector<double> logdet(shape.n);
  const auto held = [&](const std::vector<double>& at) {
    std::vector<double> y(at.size());
    logdet.assign(shape.n, 0);
    batch_norm_forward(y.data(), logdet.data(), at.data(), batch.mean.data(), batch.var.data(), kNone, kNone, 0.1,
                       Activation::kNone, shape, Reference{});
    return y;
  };
  const double of_batch = log_abs_det_jacobian(held, x);
  CHECK(logdet[0] + logdet[1] == Approx(of_batch).margin(kLogDetError));
  CHECK(logdet[0] == logdet[1]);
  const auto inverse = [&](const std::vector<double>& at) {
    std::vector<double> out(at.size());
    logdet.assign(shape.n, 0);
    batch_norm_inverse(out.data(), logdet.data(), at.data(), batch.mean.data(), batch.var.data(), 0.1, shape,
                       Reference{});
    return out;
  };
  const double of_inverse = log_abs_det_jacobian(inverse, x);
  CHECK(logdet[0] + logdet[1] == Approx(of_inverse).margin(kLogDetError));
}

TEST_CASE("with the batch's own statistics the Jacobian is singular") {
  // Along (1, 1, ...) of a channel nothing changes, and along xh all but eps / (var + eps) is lost.
  const MapShape shape{3, 1, 2, 1};
  const auto x = random_normal<double>(shape.size(), 1, 2);
  const double eps = 0.1;
  const Moments batch = moments_of(x, shape, Reference{});
  const double std_with_eps = std::sqrt(batch.var[0] + eps);
  const auto pull_back = [&](const std::vector<double>& dy) {
    std::vector<double> dx(x.size());
    batch_norm_backward<double>({dx.data()}, {}, {}, dy.data(), nullptr, x.data(), batch.mean.data(), batch.var.data(),
                                nullptr, nullptr, eps, Activation::kNone, NormStatistics::kOfBatch, shape, Reference{});
    return dx;
  };
  for (double dx : pull_back(std::vector<double>(x.size(), 1))) CHECK(std::abs(dx) < 1e-15);
  std::vector<double> distance = x;
  for (double& value : distance) value -= batch.mean[0];
  const std::vector<double> dx = pull_back(distance);
  for (std::size_t i = 0; i < x.size(); ++i) {
    CHECK(dx[i] == Approx(distance[i] / std_with_eps * eps / (batch.var[0] + eps)).epsilon(1e-12));
  }
}

TEST_CASE("batch norm gradients, through the statistics and with these fixed") {
  for (const MapShape shape : {MapShape{2, 1, 1, 1}, {3, 5, 1, 3}, {5, 1, 3, 2}, {3, 1, 1, 31}}) {
    for (const NormStatistics statistics : {NormStatistics::kOfBatch, NormStatistics::kFixed}) {
      for (const Form form : kForms) {
        const bool network = form.network;
        CAPTURE(shape.n, shape.h, shape.w, shape.c, int(statistics), network, int(form.activation));
        const auto dy = random_normal<double>(shape.size(), 1), dlogdet = random_normal<double>(shape.n, 2);
        const auto x = random_normal<double>(shape.size(), 3);
        const Moments fixed = moments_of(random_normal<double>(shape.size(), 4), shape, Reference{});
        const double eps = 0.1;  // so that two values that nearly agree have derivatives of order 1
        const auto moments = [&](const std::vector<double>& at) {
          return statistics == NormStatistics::kOfBatch ? moments_of(at, shape, Reference{}) : fixed;
        };
        const auto gamma = random_normal<double>(shape.c, 5), beta = random_normal<double>(shape.c, 6);
        Inputs inputs{x};
        if (network) inputs.insert(inputs.end(), {gamma, beta});
        check_gradients(
            inputs,
            [&](const Inputs& in) {
              const Moments at = moments(in[0]);
              std::vector<double> y(shape.size()), logdet(shape.n);
              batch_norm_forward(y.data(), network ? nullptr : logdet.data(), in[0].data(), at.mean.data(),
                                 at.var.data(), network ? in[1].data() : nullptr, network ? in[2].data() : nullptr, eps,
                                 form.activation, shape, Reference{});
              return dot(y, dy) + dot(logdet, dlogdet);
            },
            [&](const Inputs& in, const Gradients& gradients) {
              const Moments at = moments(in[0]);
              batch_norm_backward(gradients[0], network ? gradients[1] : Grad<double>{},
                                  network ? gradients[2] : Grad<double>{}, dy.data(),
                                  network ? nullptr : dlogdet.data(), in[0].data(), at.mean.data(), at.var.data(),
                                  network ? in[1].data() : nullptr, network ? in[2].data() : nullptr, eps,
                                  form.activation, statistics, shape, Reference{});
            });
      }
    }
  }
}

TEMPLATE_TEST_CASE("cpu batch norm agrees with the reference on every instruction set", "", float, double) {
  for (const MapShape shape : kShapes) {
    for (const GradMode mode : kGradModes) {
      for (const Form form : kForms) {
        const bool network = form.network;
        CAPTURE(shape.n, shape.h, shape.w, shape.c, int(mode), network, int(form.activation));
        auto x = random_normal<TestType>(shape.size(), 1);
        for (std::size_t i = 0; i < x.size(); ++i) x[i] += TestType(4 * (i / shape.image_size() % 2));
        const auto dy = random_normal<TestType>(shape.size(), 2);
        const auto gamma = random_normal<TestType>(shape.c, 3), beta = random_normal<TestType>(shape.c, 4);
        const auto dlogdet = random_normal<double>(shape.n, 5);
        const auto run = [&](auto backend) {
          const Moments batch = moments_of(x, shape, backend);
          const double *mean = batch.mean.data(), *var = batch.var.data();
          const TestType *const g = network ? gamma.data() : nullptr, *const b = network ? beta.data() : nullptr;
          std::vector<TestType> y(x.size()), back(x.size());
          std::vector<double> up(shape.n, 0.5), down(shape.n, 0.5);
          batch_norm_forward(y.data(), network ? nullptr : up.data(), x.data(), mean, var, g, b, 1e-5, form.activation,
                             shape, backend);
          batch_norm_inverse(back.data(), down.data(), x.data(), mean, var, 1e-5, shape, backend);
          Outputs all = outputs(batch.mean, batch.var, y, up, back, down);
          for (const NormStatistics statistics : {NormStatistics::kOfBatch, NormStatistics::kFixed}) {
            auto dx = random_normal<TestType>(x.size(), 6);
            auto dgamma = random_normal<TestType>(shape.c, 7), dbeta = random_normal<TestType>(shape.c, 8);
            batch_norm_backward(Grad<TestType>{dx.data(), mode}, Grad<TestType>{dgamma.data(), mode},
                                Grad<TestType>{dbeta.data(), mode}, dy.data(), network ? nullptr : dlogdet.data(),
                                x.data(), mean, var, g, b, 1e-5, form.activation, statistics, shape, backend);
            for (auto& values : outputs(dx, dgamma, dbeta)) all.push_back(std::move(values));
          }
          return all;
        };
        // Sums in double in another order, then elements rounded once: a last bit of a float may fall to the other
        // side. Of two values per channel only eps keeps dx from cancelling to 0, by up to var / eps, so what is left
        // of it carries that many more roundings; nothing in the others does.
        const double bound = sizeof(TestType) == 4 ? 2e-7 : 1e-12;
        const bool cancels = shape.n * shape.pixels() == 2;
        for_each_simd_target([&] { check_cpu(run, cancels ? 1e-6 : bound); });
      }
    }
  }
}

TEST_CASE("gradients of cpu batch norm that nobody asked for are left out, and dx may replace dy") {
  const MapShape shape{9, 5, 3, 6};
  const auto x = random_normal<float>(shape.size(), 1), dy = random_normal<float>(shape.size(), 2);
  const auto gamma = random_normal<float>(shape.c, 3), beta = random_normal<float>(shape.c, 4);
  const auto check = [&](NormStatistics statistics, Activation activation, auto backend) {
    const Moments batch = moments_of(x, shape, backend);
    const auto run = [&](Grad<float> dx, Grad<float> dgamma, Grad<float> dbeta, const float* from) {
      batch_norm_backward(dx, dgamma, dbeta, from, nullptr, x.data(), batch.mean.data(), batch.var.data(), gamma.data(),
                          beta.data(), 1e-5, activation, statistics, shape, backend);
    };
    std::vector<float> dx(x.size()), dgamma(shape.c), dbeta(shape.c), alone(shape.c), in_place = dy;
    run({dx.data()}, {dgamma.data()}, {dbeta.data()}, dy.data());
    run({}, {alone.data()}, {}, dy.data());
    CHECK(same_bits(alone, dgamma));
    run({}, {}, {alone.data()}, dy.data());
    CHECK(same_bits(alone, dbeta));
    run({in_place.data()}, {}, {}, in_place.data());
    CHECK(same_bits(in_place, dx));
    run({}, {}, {}, dy.data());
  };
  for (const NormStatistics statistics : {NormStatistics::kOfBatch, NormStatistics::kFixed}) {
    for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kLeakyRelu}) {
      check(statistics, activation, Reference{});
      check(statistics, activation, Cpu{});
    }
  }
}

TEST_CASE("a constant channel becomes 0 and has finite gradients, also at +-1e4") {
  for (const float value : {0.0f, 1e4f, -1e4f}) {
    const MapShape shape{3, 1, 2, 1};
    const std::vector<float> x(6, value), dy{1, 2, 3, 4, 5, 6};
    const float* const none = nullptr;
    const std::vector<double> dlogdet{1, 1, 1};
    const Moments batch = moments_of(x, shape, Cpu{});
    std::vector<float> y(6), dx(6);
    std::vector<double> logdet(3);
    batch_norm_forward(y.data(), logdet.data(), x.data(), batch.mean.data(), batch.var.data(), none, none, 1e-5,
                       Activation::kNone, shape, Cpu{});
    CHECK(y == std::vector<float>(6, 0));
    CHECK(logdet[0] == Approx(-std::log(1e-5)));
    batch_norm_backward<float>({dx.data()}, {}, {}, dy.data(), dlogdet.data(), x.data(), batch.mean.data(),
                               batch.var.data(), none, none, 1e-5, Activation::kNone, NormStatistics::kOfBatch, shape,
                               Cpu{});
    for (int i = 0; i < 6; ++i) CHECK(dx[i] == Approx((dy[i] - 3.5) / std::sqrt(1e-5)));
  }
}

TEST_CASE("running statistics move towards an unbiased estimate, and only after a step that counts") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> mean{4, 8}, var{9, 0};
  const auto check = [&](auto backend) {
    std::vector<double> running_mean{1, 2}, running_var{1, 1};
    const auto update = [&](double loss, double norm) {
      update_running(running_mean.data(), running_var.data(), mean.data(), var.data(), 2, 10, 0.25, &loss, &norm,
                     backend);
    };
    for (const double bad : {inf, -inf, double(NAN)}) {
      update(bad, 1);
      update(1, bad);
    }
    CHECK(running_mean == std::vector<double>{1, 2});
    CHECK(running_var == std::vector<double>{1, 1});
    update(1, 1);
    CHECK(running_mean == std::vector<double>{0.75 + 1, 1.5 + 2});
    CHECK(running_var == std::vector<double>{0.75 + 2.5, 0.75});  // 9 * 10/9 / 4
  };
  check(Reference{});
  check(Cpu{});
}

}  // namespace
}  // namespace flowsmith::core::testing
