// The standard normal prior and the split.
#include "kernels/prior.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

constexpr MapShape kShapes[] = {{1, 1, 1, 1}, {3, 31, 1, 3}, {31, 1, 3, 2}, {1, 3, 1, 257}};

TEST_CASE("the log-density is added to what was there") {
  const std::vector<double> z{0, 0, 1, -2};
  std::vector<double> logp{10, 20};
  gaussian_log_density_forward(logp.data(), z.data(), 2, 2, Reference{});
  const double log_2pi = std::log(2 * std::acos(-1.0));
  CHECK(logp[0] == Approx(10 - log_2pi).epsilon(1e-15));
  CHECK(logp[1] == Approx(20 - log_2pi - 2.5).epsilon(1e-15));
}

TEST_CASE("split keeps the first channels, one more of an odd number, and scores the others") {
  const std::vector<double> z{1, 2, 3, 4, 5, 6};
  std::vector<double> kept(4), latent(2), logp{1};
  split_forward(kept.data(), latent.data(), logp.data(), z.data(), {1, 1, 2, 3}, Reference{});
  CHECK(kept == std::vector<double>{1, 2, 4, 5});
  CHECK(latent == std::vector<double>{3, 6});
  CHECK(logp[0] == Approx(1 - std::log(2 * std::acos(-1.0)) - (9 + 36) / 2.0).epsilon(1e-15));
}

TEST_CASE("split_inverse undoes split_forward bit for bit, and the density needs no latent") {
  for (MapShape shape : kShapes) {
    const auto z = random_normal<double>(shape.size(), 1);
    const std::size_t pixels = shape.n * shape.pixels();
    const auto run = [&](auto backend) {
      std::vector<double> kept(pixels * (shape.c - shape.c / 2)), latent(pixels * (shape.c / 2)), back(z.size());
      std::vector<double> logp(shape.n), logp_alone(shape.n);
      split_forward(kept.data(), latent.data(), logp.data(), z.data(), shape, backend);
      split_inverse(back.data(), kept.data(), latent.data(), shape, backend);
      CHECK(same_bits(back, z));
      split_forward(kept.data(), static_cast<double*>(nullptr), logp_alone.data(), z.data(), shape, backend);
      CHECK(same_bits(logp, logp_alone));
    };
    run(Reference{});
    run(Cpu{});
  }
}

TEST_CASE("prior and split gradients") {
  for (MapShape shape : kShapes) {
    const std::size_t kept_size = shape.n * shape.pixels() * (shape.c - shape.c / 2);
    const auto dlogp = random_normal<double>(shape.n, 1), dkept = random_normal<double>(kept_size, 2);
    const auto z = random_normal<double>(shape.size(), 3);
    check_gradients(
        {z},
        [&](const Inputs& in) {
          std::vector<double> logp(shape.n);
          gaussian_log_density_forward(logp.data(), in[0].data(), shape.n, shape.image_size(), Reference{});
          return dot(logp, dlogp);
        },
        [&](const Inputs& in, const Gradients& gradients) {
          gaussian_log_density_backward(gradients[0], dlogp.data(), in[0].data(), shape.n, shape.image_size(),
                                        Reference{});
        });
    check_gradients(
        {z},
        [&](const Inputs& in) {
          std::vector<double> kept(kept_size), logp(shape.n);
          split_forward(kept.data(), static_cast<double*>(nullptr), logp.data(), in[0].data(), shape, Reference{});
          return dot(kept, dkept) + dot(logp, dlogp);
        },
        [&](const Inputs& in, const Gradients& gradients) {
          split_backward(gradients[0], dkept.data(), dlogp.data(), in[0].data(), shape, Reference{});
        });
  }
}

TEMPLATE_TEST_CASE("cpu prior and split agree with the reference", "", float, double) {
  for (MapShape shape : {MapShape{1, 1, 1, 1}, {3, 31, 1, 3}, {31, 1, 3, 2}, {257, 9, 8, 1}, {3, 31, 31, 7}}) {
    const std::size_t pixels = shape.n * shape.pixels();
    const int c_latent = shape.c / 2, c_kept = shape.c - c_latent;
    const auto z = random_normal<TestType>(shape.size(), 1), dkept = random_normal<TestType>(pixels * c_kept, 2);
    const auto dlogp = random_normal<double>(shape.n, 3);
    for (GradMode mode : kGradModes) {
      const auto run = [&](auto backend) {
        std::vector<TestType> kept(pixels * c_kept), latent(pixels * c_latent), whole(z.size());
        std::vector<double> logp(shape.n, 0.5), split_logp(shape.n, 0.5);
        gaussian_log_density_forward(logp.data(), z.data(), shape.n, shape.image_size(), backend);
        split_forward(kept.data(), latent.data(), split_logp.data(), z.data(), shape, backend);
        split_inverse(whole.data(), kept.data(), latent.data(), shape, backend);
        auto dz = random_normal<TestType>(z.size(), 4), dz_split = random_normal<TestType>(z.size(), 5);
        gaussian_log_density_backward(Grad<TestType>{dz.data(), mode}, dlogp.data(), z.data(), shape.n,
                                      shape.image_size(), backend);
        split_backward(Grad<TestType>{dz_split.data(), mode}, dkept.data(), dlogp.data(), z.data(), shape, backend);
        return outputs(logp, kept, latent, split_logp, whole, dz, dz_split);
      };
      check_cpu(run, 1e-12);  // one formula; the sums in double have another order
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
