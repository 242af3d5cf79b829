// Batch normalisation on the GPU: against the reference, null gradients, and running statistics that only follow steps
// that count.
#include "kernels/batch_norm.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

/// 28 x 28 x 16 has several slices per image, 257 channels two groups of them (channel_sums.h).
constexpr MapShape kShapes[] = {{2, 1, 1, 1},  {3, 7, 1, 3},    {2, 3, 5, 31}, {2, 7, 9, 48},
                                {3, 5, 1, 64}, {2, 28, 28, 16}, {5, 1, 1, 257}};

/// A layer of a flow, and networks with what follows their lines.
struct Form {
  bool network;
  Activation activation;
};
constexpr Form kForms[] = {{false, Activation::kNone}, {true, Activation::kNone}, {true, Activation::kRelu},
                           {true, Activation::kElu},   {true, Activation::kTanh}, {true, Activation::kLeakyRelu}};

struct Values {
  MapShape shape;
  std::vector<float> x = random_normal<float>(shape.size(), 1), dy = random_normal<float>(shape.size(), 2);
  std::vector<float> gamma = random_normal<float>(shape.c, 3), beta = random_normal<float>(shape.c, 4);
  std::vector<double> dlogdet = random_normal<double>(shape.n, 5);

  explicit Values(MapShape of) : shape(of) {
    // A mean of several deviations, and images apart: two values that nearly agree would leave only eps.
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += 30 + 4 * (i / shape.image_size() % 2);
  }
};

TEMPLATE_TEST_CASE("gpu batch norm agrees with the reference", "", float, double) {
  for (const MapShape& shape : kShapes) {
    for (const GradMode mode : kGradModes) {
      for (const Form form : kForms) {
        const bool network = form.network;
        CAPTURE(shape.n, shape.h, shape.w, shape.c, int(mode), network, int(form.activation));
        const Values values(shape);
        const std::vector<double> before(shape.n, double(shape.image_size()));
        const auto run = [&](auto backend) {
          using T = Real<TestType, decltype(backend)>;
          const bool add = mode == GradMode::kAccumulate;
          auto x = put(backend, as<T>(values.x)), dy = put(backend, as<T>(values.dy));
          auto gamma = put(backend, as<T>(values.gamma)), beta = put(backend, as<T>(values.beta));
          auto dlogdet = put(backend, values.dlogdet), up = put(backend, before), down = put(backend, before);
          auto mean = blank<double>(backend, shape.c), var = blank<double>(backend, shape.c);
          auto y = blank<T>(backend, shape.size()), back = blank<T>(backend, shape.size());
          const T *const g = network ? gamma.data() : nullptr, *const b = network ? beta.data() : nullptr;
          batch_moments(mean.data(), var.data(), x.data(), shape, backend);
          batch_norm_forward(y.data(), network ? nullptr : up.data(), x.data(), mean.data(), var.data(), g, b, 1e-5,
                             form.activation, shape, backend);
          batch_norm_inverse(back.data(), network ? nullptr : down.data(), dy.data(), mean.data(), var.data(), 1e-5,
                             shape, backend);
          Outputs all = outputs(mean.host(), var.host(), y.host(), up.host(), back.host(), down.host());
          for (const NormStatistics statistics : {NormStatistics::kOfBatch, NormStatistics::kFixed}) {
            auto dx = add ? put(backend, as<T>(values.x)) : blank<T>(backend, shape.size());
            auto dgamma = add ? put(backend, as<T>(values.gamma)) : blank<T>(backend, shape.c);
            auto dbeta = add ? put(backend, as<T>(values.beta)) : blank<T>(backend, shape.c);
            batch_norm_backward(dx.grad(mode), dgamma.grad(mode), dbeta.grad(mode), dy.data(),
                                network ? nullptr : dlogdet.data(), x.data(), mean.data(), var.data(), g, b, 1e-5,
                                form.activation, statistics, shape, backend);
            for (auto& of : outputs(dx.host(), dgamma.host(), dbeta.host())) all.push_back(std::move(of));
          }
          return all;
        };
        // Sums in double in another order, elements rounded once. With two values per channel the terms of dx cancel,
        // in a network to what eps leaves.
        // The derivative of tanh, 1 - y^2, is off by two roundings of y near 1 however small it is itself.
        const bool cancels = shape.n * shape.pixels() == 2, tanh = form.activation == Activation::kTanh;
        check_gpu(run, cancels ? (tanh ? 5e-6 : 1e-6) : sizeof(TestType) == 4 ? 2e-7 : 1e-12);
      }
    }
  }
}

TEST_CASE("gpu batch norm of a constant channel is 0, its variance exactly so") {
  const DeviceArray<float> x(std::vector<float>(6, 1e4f));
  DeviceArray<float> y(6), dx(6);
  DeviceArray<double> mean(1), var(1);
  const MapShape shape{3, 1, 2, 1};
  const float* const none = nullptr;
  batch_moments(mean.data(), var.data(), x.data(), shape, test_stream());
  batch_norm_forward(y.data(), nullptr, x.data(), mean.data(), var.data(), none, none, 1e-5, Activation::kNone, shape,
                     test_stream());
  batch_norm_backward(dx.grad(), {}, {}, x.data(), nullptr, x.data(), mean.data(), var.data(), none, none, 1e-5,
                      Activation::kNone, NormStatistics::kOfBatch, shape, test_stream());
  CHECK(var.host()[0] == 0);
  CHECK(y.host() == std::vector<float>(6, 0));
  for (float value : dx.host()) CHECK(std::isfinite(value));
}

TEST_CASE("gpu batch norm works in place, its gradient too, and writes only what was asked for") {
  const MapShape shape{3, 9, 7, 6};
  const Values values(shape);
  const DeviceArray<float> x(values.x), gamma(values.gamma), beta(values.beta);
  const DeviceArray<double> dlogdet(values.dlogdet);
  DeviceArray<double> mean(shape.c), var(shape.c);
  DeviceArray<float> y(values.x), in_place(values.x);
  const TestGpu gpu = test_stream();
  const float* const none = nullptr;
  batch_moments(mean.data(), var.data(), x.data(), shape, gpu);
  batch_norm_forward(y.data(), nullptr, x.data(), mean.data(), var.data(), none, none, 1e-5, Activation::kNone, shape,
                     gpu);
  batch_norm_forward(in_place.data(), nullptr, in_place.data(), mean.data(), var.data(), none, none, 1e-5,
                     Activation::kNone, shape, gpu);
  CHECK(same_bits(in_place.host(), y.host()));
  batch_norm_inverse(y.data(), nullptr, y.data(), mean.data(), var.data(), 1e-5, shape, gpu);
  CHECK(relative_error(y.host(), values.x) < 1e-6);  // a rounding of y and one of x

  for (const NormStatistics statistics : {NormStatistics::kOfBatch, NormStatistics::kFixed}) {
    const auto run = [&](bool with_dx, bool with_dgamma, bool with_dbeta, bool replace) {
      DeviceArray<float> from(values.dy), dx(values.x), dgamma(values.gamma), dbeta(values.beta);
      DeviceArray<float>& to = replace ? from : dx;
      batch_norm_backward(with_dx ? to.grad() : Grad<float>{}, with_dgamma ? dgamma.grad() : Grad<float>{},
                          with_dbeta ? dbeta.grad() : Grad<float>{}, from.data(), dlogdet.data(), x.data(), mean.data(),
                          var.data(), gamma.data(), beta.data(), 1e-5, Activation::kRelu, statistics, shape, gpu);
      return outputs(to.host(), dgamma.host(), dbeta.host());
    };
    const Outputs all = run(true, true, true, false), none_asked = run(false, false, false, false);
    CHECK(none_asked == outputs(values.x, values.gamma, values.beta));
    CHECK(run(true, true, true, true) == all);
    for (int which = 0; which < 3; ++which) {
      const Outputs one = run(which == 0, which == 1, which == 2, false);
      for (int i = 0; i < 3; ++i) CHECK(same_bits(one[i], i == which ? all[i] : none_asked[i]));
    }
  }
}

TEST_CASE("gpu batch norm of no image has gradient 0") {
  const MapShape shape{0, 7, 9, 3};
  DeviceArray<float> nothing(0), dgamma(std::vector<float>{1, 2, 3}), dbeta(std::vector<float>{1, 2, 3});
  DeviceArray<double> nothing64(0);
  const DeviceArray<double> moments(std::vector<double>{1, 1, 1});
  const DeviceArray<float> gamma(std::vector<float>(3));
  const TestGpu gpu = test_stream();
  batch_norm_forward(nothing.data(), nothing64.data(), nothing.data(), moments.data(), moments.data(), gamma.data(),
                     gamma.data(), 1e-5, Activation::kNone, shape, gpu);
  batch_norm_inverse(nothing.data(), nothing64.data(), nothing.data(), moments.data(), moments.data(), 1e-5, shape,
                     gpu);
  batch_norm_backward(nothing.grad(), dgamma.grad(), dbeta.grad(GradMode::kAccumulate), nothing.data(),
                      nothing64.data(), nothing.data(), moments.data(), moments.data(), gamma.data(), gamma.data(),
                      1e-5, Activation::kNone, NormStatistics::kFixed, shape, gpu);
  CHECK(dgamma.host() == std::vector<float>{0, 0, 0});
  CHECK(dbeta.host() == std::vector<float>{1, 2, 3});
}

TEST_CASE("gpu running statistics follow a batch unless the loss or the norm is not finite") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  const auto mean = random_normal<double>(300, 1), var = random_uniform<double>(300, 2);
  for (const auto& [loss_value, norm_value] :
       {std::pair{1.0, 1.0}, {inf, 1.0}, {double(NAN), 1.0}, {1.0, double(NAN)}}) {
    // The same operations in double; a GPU may fuse the last two of them.
    check_gpu(
        [&](auto backend) {
          auto running_mean = put(backend, var), running_var = put(backend, var);
          auto batch_mean = put(backend, mean), batch_var = put(backend, var);
          auto loss = put(backend, std::vector<double>{loss_value}),
               norm = put(backend, std::vector<double>{norm_value});
          update_running(running_mean.data(), running_var.data(), batch_mean.data(), batch_var.data(), 300, 10, 0.1,
                         loss.data(), norm.data(), backend);
          if (!std::isfinite(loss_value) || !std::isfinite(norm_value)) CHECK(same_bits(running_mean.host(), var));
          return outputs(running_mean.host(), running_var.host());
        },
        1e-15);
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
