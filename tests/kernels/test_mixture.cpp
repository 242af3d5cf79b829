// The mixture of normals: worked values, extremes, gradients, samples, and the threaded version against the plain one.
#include "kernels/mixture.h"
#include "kernels/mixture_math.h"
#include "kernels/prior.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

/// The parameters of a mixture of `count` components over `size` elements.
template <class S>
struct Mixture {
  std::vector<S> weight_logits, mean, log_scale;

  Mixture(int count, std::size_t size, double spread = 1)
      : weight_logits(random_normal<S>(count, 11)),
        mean(random_normal<S>(count * size, 12, spread)),
        log_scale(random_normal<S>(count * size, 13, 0.3)) {}
  Mixture(std::vector<S> logits, std::vector<S> means, std::vector<S> log_scales)
      : weight_logits(std::move(logits)), mean(std::move(means)), log_scale(std::move(log_scales)) {}

  MixtureParameters<S> view() const {
    return {weight_logits.data(), mean.data(), log_scale.data(), int(weight_logits.size())};
  }
};

TEST_CASE("the density of a mixture is added to what was there") {
  // Weights 1/4 and 3/4; normals (0, 1) and (2, 1/2) at z = 1: densities exp(-1/2) and 2 exp(-2), over sqrt(2 pi).
  const Mixture<double> mixture({0, std::log(3.0)}, {0, 2}, {0, std::log(0.5)});
  const double z = 1;
  std::vector<double> logp{10}, responsibility(2);
  mixture_log_density_forward(logp.data(), responsibility.data(), &z, mixture.view(), 1, 1, Reference{});
  const double first = 0.25 * std::exp(-0.5), second = 0.75 * 2 * std::exp(-2.0);
  CHECK(logp[0] == Approx(10 + std::log((first + second) / std::sqrt(2 * std::acos(-1.0)))).epsilon(1e-14));
  CHECK(responsibility[0] == Approx(first / (first + second)).epsilon(1e-14));
  CHECK(responsibility[1] == Approx(second / (first + second)).epsilon(1e-14));
}

TEST_CASE("one standard component is the standard normal") {
  const std::size_t size = 31;
  const auto z = random_normal<double>(3 * size, 1);
  const Mixture<double> mixture({5}, std::vector<double>(size), std::vector<double>(size));
  std::vector<double> logp(3), normal(3), responsibility(3);
  mixture_log_density_forward(logp.data(), responsibility.data(), z.data(), mixture.view(), 3, size, Reference{});
  gaussian_log_density_forward(normal.data(), z.data(), 3, size, Reference{});
  CHECK(relative_error(logp, normal) < 1e-14);
  CHECK(responsibility == std::vector<double>{1, 1, 1});
}

TEST_CASE("mixture gradients") {
  for (auto [images, size, count] : {std::tuple{1, 1, 1}, {3, 31, 2}, {2, 3, 31}, {31, 1, 3}}) {
    const int n = images, components = count;
    const std::size_t per_image = size;
    const auto dlogp = random_normal<double>(n, 1);
    // Components that overlap, so that several of them have a share in each image.
    const Mixture<double> at(components, per_image, 0.3);
    const auto view = [components](const Inputs& in) {
      return MixtureParameters<double>{in[1].data(), in[2].data(), in[3].data(), components};
    };
    const auto forward = [&](const Inputs& in, std::vector<double>& responsibility) {
      std::vector<double> logp(n);
      mixture_log_density_forward(logp.data(), responsibility.data(), in[0].data(), view(in), n, per_image,
                                  Reference{});
      return dot(logp, dlogp);
    };
    std::vector<double> responsibility(n * components);
    check_gradients(
        {random_normal<double>(n * per_image, 2), at.weight_logits, at.mean, at.log_scale},
        [&](const Inputs& in) { return forward(in, responsibility); },
        [&](const Inputs& in, const Gradients& gradients) {
          forward(in, responsibility);
          mixture_log_density_backward(gradients[0], MixtureGrads<double>{gradients[1], gradients[2], gradients[3]},
                                       dlogp.data(), responsibility.data(), in[0].data(), view(in), n, per_image,
                                       Reference{});
        });
  }
}

TEST_CASE("a mixture stays finite far away from all components, and with weights and scales far apart") {
  const std::vector<float> z{1e4f, -1e4f, 0, 1e4f};
  const auto run = [&](auto backend, const Mixture<float>& mixture) {
    std::vector<double> logp(2), responsibility(4), dlogp{1, 1};
    std::vector<float> dz(4), logits(2), mean(4), log_scale(4);
    mixture_log_density_forward(logp.data(), responsibility.data(), z.data(), mixture.view(), 2, 2, backend);
    const MixtureGrads<float> grads{{logits.data()}, {mean.data()}, {log_scale.data()}};
    mixture_log_density_backward(Grad<float>{dz.data()}, grads, dlogp.data(), responsibility.data(), z.data(),
                                 mixture.view(), 2, 2, backend);
    for (const auto& values : outputs(logp, responsibility, dz, logits, mean, log_scale)) {
      for (double value : values) CHECK(std::isfinite(value));
    }
    return logp;
  };
  const auto run_both = [&](const Mixture<float>& mixture) {
    run(Cpu{}, mixture);
    return run(Reference{}, mixture);
  };
  run_both({{0, 0}, {-1e4f, 1e4f, 0, 0}, {0, 0, 0, 0}});
  run_both({{0, 0}, {0, 0, 0, 0}, {1e4f, 1e4f, 0, 0}});
  // The first component has all weight and density of an image only where that image lies on its mean.
  run_both({{1e4f, -1e4f}, {0, 0, 0, 0}, {0, 0, 0, 0}});
  run_both({{0, 0}, {5, 5, 0, 0}, {-1e4f, -1e4f, 0, 0}});
  const std::vector<double> logp = run_both({{-1e4f, 1e4f}, {1e4f, -1e4f, 0, 1e4f}, {0, 0, 0, 0}});
  CHECK(logp[1] == Approx(-std::log(2 * std::acos(-1.0))).epsilon(1e-14));
}

TEST_CASE("a NaN stays in its image") {
  const std::vector<float> z{NAN, 2};
  const Mixture<float> mixture(3, 1);
  std::vector<double> logp(2), responsibility(6);
  mixture_log_density_forward(logp.data(), responsibility.data(), z.data(), mixture.view(), 2, 1, Cpu{});
  CHECK(std::isnan(logp[0]));
  CHECK(std::isfinite(logp[1]));
}

TEST_CASE("the sample of an image depends on its index alone, and on the temperature as it says") {
  const Mixture<float> mixture(3, 31, 10);
  const NoiseStream stream{7, NoisePurpose::kPrior, 0};
  const auto sample = [&](const std::vector<std::uint32_t>& index, double temperature) {
    std::vector<double> z(index.size() * 31);
    mixture_sample(z.data(), index.data(), &stream, temperature, mixture.view(), int(index.size()), 31, Cpu{});
    return z;
  };
  const std::vector<double> alone = sample({60000}, 1), batch = sample({3, 60000, 0}, 1);
  CHECK(same_bits(alone, {batch.begin() + 31, batch.begin() + 62}));
  // At temperature 0 an image is the mean of its component.
  const std::vector<double> still = sample({60000}, 0);
  const int k = drawn_component(stream, 60000, mixture.weight_logits.data(), 3);
  CHECK(still == std::vector<double>(mixture.mean.begin() + k * 31, mixture.mean.begin() + (k + 1) * 31));
}

TEST_CASE("components are drawn as often as they weigh, and not by the words of the normals") {
  const int n = 40000;
  const Mixture<double> mixture({0, std::log(2.0), std::log(5.0), -1e4}, {-100, 0, 100, 1e6}, {0, 0, 0, 0});
  std::vector<std::uint32_t> index(n);
  for (int i = 0; i < n; ++i) index[i] = std::uint32_t(i);
  const NoiseStream stream{3, NoisePurpose::kPrior, 0};
  std::vector<double> z(n), noise(n);
  mixture_sample(z.data(), index.data(), &stream, 1, mixture.view(), n, 1, Reference{});
  normal_noise(noise.data(), index.data(), &stream, 1, n, 1, Reference{});
  const double want[] = {1 / 8.0, 2 / 8.0, 5 / 8.0};
  for (int k = 0; k < 3; ++k) {
    double share = 0, mean = 0;
    for (int i = 0; i < n; ++i) {
      if (std::abs(z[i] - mixture.mean[k]) > 50) continue;
      share += 1.0 / n;
      mean += noise[i] / n;
    }
    // Five standard errors: of a share, and of the noise of its images, which tells if the choice depended on it.
    CHECK(std::abs(share - want[k]) < 5 * std::sqrt(want[k] * (1 - want[k]) / n));
    CHECK(std::abs(mean) < 5 * std::sqrt(want[k] / n));
  }
}

TEMPLATE_TEST_CASE("cpu mixture agrees with the reference", "", float, double) {
  for (auto [images, size, count] : {std::tuple{1, 1, 1}, {3, 31, 3}, {31, 3, 31}, {3, 257, 2}, {65, 784, 3}}) {
    const int n = images, components = count;
    const std::size_t per_image = size;
    const Mixture<float> mixture(components, per_image, 0.2);
    const auto z = random_normal<TestType>(n * per_image, 1);
    const auto dlogp = random_normal<double>(n, 2);
    std::vector<std::uint32_t> index(n);
    for (int i = 0; i < n; ++i) index[i] = std::uint32_t(i * 7919);
    const NoiseStream stream{5, NoisePurpose::kPrior, 2};
    for (GradMode mode : kGradModes) {
      const auto run = [&](auto backend) {
        std::vector<double> logp(n, 0.5), responsibility(n * components);
        mixture_log_density_forward(logp.data(), responsibility.data(), z.data(), mixture.view(), n, per_image,
                                    backend);
        auto dz = random_normal<TestType>(z.size(), 3);
        auto logits = random_normal<float>(components, 4), mean = random_normal<float>(mixture.mean.size(), 5);
        auto log_scale = random_normal<float>(mixture.mean.size(), 6);
        const MixtureGrads<float> grads{{logits.data(), mode}, {mean.data(), mode}, {log_scale.data(), mode}};
        mixture_log_density_backward(Grad<TestType>{dz.data(), mode}, grads, dlogp.data(), responsibility.data(),
                                     z.data(), mixture.view(), n, per_image, backend);
        std::vector<TestType> sample(z.size());
        mixture_sample(sample.data(), index.data(), &stream, 0.7, mixture.view(), n, per_image, backend);
        return outputs(logp, responsibility, dz, logits, mean, log_scale, sample);
      };
      // Sums of doubles in another order, rounded to float once.
      check_cpu(run, 1e-7);
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
