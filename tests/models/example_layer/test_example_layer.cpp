// The layer that docs/adding_a_layer.md adds, through the tests that every layer has. It is not part of the product.
#include "autograd/gradient_check.h"
#include "tests/models/example_layer/autograd/ops.h"
#include "tests/models/example_layer/kernels/scaled_asinh.h"
#include "tests/support/bijector_suite.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core {

LayerType asinh_type();

namespace testing {
namespace {

constexpr double kScale = 0.7;

TEST_CASE("the gradient of the scaled asinh is the derivative", "[example]") {
  for (const MapShape shape : {MapShape{1, 1, 1, 1}, {3, 31, 1, 3}, {1, 3, 1, 257}}) {
    const std::size_t per_image = shape.image_size();
    const auto dz = random_normal<double>(shape.size(), 1), dlogdet = random_normal<double>(shape.n, 2);
    check_gradients(
        {random_normal<double>(shape.size(), 3)},
        [&](const Inputs& in) {
          std::vector<double> z(shape.size()), logdet(shape.n);
          scaled_asinh_forward(z.data(), logdet.data(), in[0].data(), kScale, shape.n, per_image, Reference{});
          return dot(z, dz) + dot(logdet, dlogdet);
        },
        [&](const Inputs& in, const Gradients& gradients) {
          scaled_asinh_backward(gradients[0], dz.data(), dlogdet.data(), in[0].data(), kScale, shape.n, per_image,
                                Reference{});
        });
  }
}

TEMPLATE_TEST_CASE("the cpu scaled asinh agrees with the reference", "[example]", float, double) {
  for (const MapShape shape : {MapShape{1, 1, 1, 1}, {3, 31, 1, 3}, {257, 9, 8, 1}}) {
    const std::size_t per_image = shape.image_size();
    const auto x = random_normal<TestType>(shape.size(), 1), dz = random_normal<TestType>(shape.size(), 2);
    const auto dlogdet = random_normal<double>(shape.n, 3);
    for (const GradMode mode : kGradModes) {
      const auto run = [&](auto backend) {
        std::vector<TestType> z(x.size()), back(x.size()), dx(x.size(), TestType(1));
        std::vector<double> logdet(shape.n, 0.5), logdet_back(shape.n, 0.5);
        scaled_asinh_forward(z.data(), logdet.data(), x.data(), kScale, shape.n, per_image, backend);
        scaled_asinh_inverse(back.data(), logdet_back.data(), z.data(), kScale, shape.n, per_image, backend);
        scaled_asinh_backward(Grad<TestType>{dx.data(), mode}, dz.data(), dlogdet.data(), x.data(), kScale, shape.n,
                              per_image, backend);
        return outputs(z, logdet, back, logdet_back, dx);
      };
      check_cpu(run, 1e-12);  // one formula; the sums in double have another order
    }
  }
}

TEST_CASE("the tape has the gradient of the scaled asinh", "[example]") {
  const MapShape map{3, 5, 3, 3};
  const std::vector<NamedArray> inputs{{"x", map, random_normal<double>(map.size(), 1)}};
  const auto computation = [&](Tape& tape, std::span<const Var> in) -> std::vector<Var> {
    const Var logdet = tape.output(DType::kF64, Shape{map.n}, true);
    fill_zero(tape.device(), tape.value(logdet));
    return {scaled_asinh(tape, in[0], kScale, logdet), logdet};
  };
  for (const GradientCheck& check : flowsmith::core::check_gradients(inputs, computation)) {
    INFO(check.where);
    CHECK(check.error <= kGradientBound);
  }
}

/// As layer_example(), of a type that is not in the registry.
LayerExample example_of(const LayerType& type, const std::string& json, MapShape shape) {
  LayerExample example{json, nullptr, shape, normals(shape, 1)};
  example.make = [=](Parameters& parameters) -> Layer {
    Builder builder{parameters, "flows.1.", {1, shape.h, shape.w, shape.c}};
    const auto checked = check_keys(nlohmann::ordered_json::parse(json), keys_of(ComponentKind::kLayer, type), "it");
    const std::shared_ptr<Bijector> layer = type.make({checked, "it"}, builder);
    return {[layer](FlowPass& pass, Var x) { return layer->forward(pass, x); },
            [layer](FlowPass& pass, Var z) { return layer->inverse(pass, z); },
            [layer](const Parameters& p) { layer->weights_changed(p); }};
  };
  return example;
}

TEST_CASE("asinh is a bijection with the log-determinant that it says", "[example]") {
  check_layer(example_of(asinh_type(), R"({"scale": 0.7})", {3, 2, 3, 2}));
}

}  // namespace
}  // namespace testing
}  // namespace flowsmith::core
