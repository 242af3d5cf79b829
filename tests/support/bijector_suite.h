// One suite for every layer of a flow: round trip, log-determinant, gradients, devices and batches.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>

#include "autograd/gradient_check.h"
#include "models/bijector.h"
#include "models/gradient_suite.h"
#include "tests/support/jacobian.h"

namespace flowsmith::testing {

/// A layer as the suite sees it.
struct Layer {
  std::function<Var(FlowPass&, Var)> forward;
  std::function<Var(FlowPass&, Var)> inverse;  ///< empty if it has none on the real line (dequantization)
};

inline Layer layer_of(std::shared_ptr<Bijector> bijector) {
  return {[bijector](FlowPass& pass, Var x) { return bijector->forward(pass, x); },
          [bijector](FlowPass& pass, Var z) { return bijector->inverse(pass, z); }};
}

/// A layer to test, and where.
struct LayerExample {
  std::string name;
  std::function<Layer(Parameters&)> make;  ///< adds its parameters
  MapShape shape;                          ///< of the input x
  std::vector<double> x;
};

/// What a layer makes of a batch.
struct LayerResult {
  MapShape shape;                            ///< of z
  std::vector<double> z;                     ///< the rest of the flow's input
  std::vector<std::vector<double>> latents;  ///< sent to the prior
  std::vector<MapShape> latent_shapes;
  std::vector<double> logdet;  ///< without the density of the latents, which splits add
};

inline double standard_normal_log_density(const double* values, std::size_t size) {
  constexpr double kLog2Pi = 1.837877066409345483560659;
  double sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum -= (values[i] * values[i] + kLog2Pi) / 2;
  return sum;
}

/// A layer with random parameters on a device; the path of the flow is f64.
class RunningLayer {
 public:
  RunningLayer(const LayerExample& example, Device device, DType network_type)
      : parameters_(device, network_type), layer_(example.make(parameters_)), tape_(device) {
    parameters_.allocate();
    set_random_parameters(parameters_, 7);
  }

  const Parameters& parameters() const { return parameters_; }
  bool has_inverse() const { return layer_.inverse != nullptr; }

  LayerResult forward(const std::vector<double>& x, MapShape shape) {
    tape_.start(false);
    FlowPass pass = new_pass(shape.n, {}, true);
    const Tensor z = tape_.value(layer_.forward(pass, input(x, shape)));
    LayerResult result{z.map(), to_doubles(z), {}, {}, to_doubles(tape_.value(pass.logdet))};
    for (const Tensor& latent : pass.latents) {
      result.latents.push_back(to_doubles(latent));
      result.latent_shapes.push_back(latent.map());
      const std::size_t size = latent.map().image_size();
      for (int i = 0; i < shape.n; ++i) {
        result.logdet[i] -= standard_normal_log_density(&result.latents.back()[i * size], size);
      }
    }
    return result;
  }

  std::vector<double> inverse(const LayerResult& result) {
    tape_.start(false);
    std::vector<Tensor> latents;
    for (std::size_t k = 0; k < result.latents.size(); ++k) {
      latents.push_back(tape_.value(input(result.latents[k], result.latent_shapes[k])));
    }
    FlowPass pass = new_pass(result.shape.n, std::move(latents), false);
    return to_doubles(tape_.value(layer_.inverse(pass, input(result.z, result.shape))));
  }

  /// Fills the gradients of the parameters with those of sum(log N(z; 0, 1) + logdet).
  void backward(const std::vector<double>& x, MapShape shape) {
    tape_.start(true);
    FlowPass pass = new_pass(shape.n, {}, false);
    gaussian_log_density(tape_, layer_.forward(pass, input(x, shape)), pass.logdet);
    tape_.backward(mean_bits_per_dim(tape_, pass.logdet, shape.image_size()));
  }

 private:
  Var input(const std::vector<double>& values, MapShape shape) {
    const Tensor tensor = tape_.arena().tensor(DType::kF64, shape);
    std::copy(values.begin(), values.end(), tensor.data<double>());
    return tape_.constant(tensor);
  }

  FlowPass new_pass(int n, std::vector<Tensor> latents, bool keep_latents) {
    vars_ = std::make_unique<ParameterVars>(tape_, parameters_);
    const Var logdet = tape_.output(DType::kF64, Shape{n}, true);
    std::memset(tape_.value(logdet).raw(), 0, tape_.value(logdet).bytes());
    return {tape_, *vars_, parameters_.dtype(), logdet, std::move(latents), keep_latents};
  }

  Parameters parameters_;
  Layer layer_;
  Tape tape_;
  std::unique_ptr<ParameterVars> vars_;
};

/// The largest |got - want|; infinite if one is not a number.
inline double largest_difference(const std::vector<double>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double difference = std::abs(got[i] - want[i]);
    largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
  }
  return largest;
}

/// z and all latents, one after the other.
inline std::vector<double> joined(const LayerResult& result) {
  std::vector<double> all = result.z;
  for (const auto& latent : result.latents) all.insert(all.end(), latent.begin(), latent.end());
  return all;
}

/// Both directions compute the same s and t from the same bits, so that only z * e^s rounds, a few times 1e-16.
inline constexpr double kRoundTripError = 1e-13;

/// Networks in float, whose few hundred roundings of 6e-8 reach z by s and t, of order 1.
inline constexpr double kFloatError = 1e-5;

inline void check_round_trip(const LayerExample& example) {
  for (const auto& [device, type] :
       {std::pair{Device::kReference, DType::kF64}, std::pair{Device::kCpu, DType::kF32}}) {
    RunningLayer layer(example, device, type);
    CHECK(largest_difference(layer.inverse(layer.forward(example.x, example.shape)), example.x) < kRoundTripError);
  }
}

inline void check_logdet(const LayerExample& example) {
  RunningLayer layer(example, Device::kReference, DType::kF64);
  const MapShape one{1, example.shape.h, example.shape.w, example.shape.c};
  const std::vector<double> x(example.x.begin(), example.x.begin() + one.size());
  const double expected =
      log_abs_det_jacobian([&](const std::vector<double>& at) { return joined(layer.forward(at, one)); }, x);
  CHECK(layer.forward(x, one).logdet[0] == Approx(expected).margin(kLogDetError).epsilon(0));
}

inline void check_gradients_reach_parameters(const LayerExample& example) {
  RunningLayer layer(example, Device::kReference, DType::kF64);
  layer.backward(example.x, example.shape);
  const Parameters& parameters = layer.parameters();
  for (int i = 0; i < parameters.count(); ++i) {
    const std::vector<double> gradient = to_doubles(parameters.grad(i));
    INFO(parameters[i].name);
    CHECK(std::all_of(gradient.begin(), gradient.end(), [](double value) { return std::isfinite(value); }));
    CHECK(std::any_of(gradient.begin(), gradient.end(), [](double value) { return value != 0; }));
  }
}

inline void check_devices_agree(const LayerExample& example) {
  RunningLayer fast(example, Device::kCpu, DType::kF32), reference(example, Device::kReference, DType::kF32);
  const LayerResult got = fast.forward(example.x, example.shape), want = reference.forward(example.x, example.shape);
  CHECK(largest_difference(joined(got), joined(want)) < kFloatError);
  // A sum over the elements of an image.
  CHECK(largest_difference(got.logdet, want.logdet) < kFloatError * double(example.shape.image_size()));
}

/// An image alone gives the same bits as in a batch.
inline void check_batch_independence(const LayerExample& example) {
  REQUIRE(example.shape.n > 1);
  MapShape one = example.shape;
  one.n = 1;
  const std::size_t size = one.size();
  for (const Device device : {Device::kReference, Device::kCpu}) {
    RunningLayer layer(example, device, DType::kF32);
    const LayerResult batch = layer.forward(example.x, example.shape);
    for (int i = 0; i < example.shape.n; ++i) {
      const std::vector<double> x(example.x.begin() + i * size, example.x.begin() + (i + 1) * size);
      const LayerResult alone = layer.forward(x, one);
      CHECK(alone.logdet[0] == batch.logdet[i]);
      CHECK(std::equal(alone.z.begin(), alone.z.end(), batch.z.begin() + i * alone.z.size()));
      for (std::size_t k = 0; k < alone.latents.size(); ++k) {
        const auto& latent = alone.latents[k];
        CHECK(std::equal(latent.begin(), latent.end(), batch.latents[k].begin() + i * latent.size()));
      }
    }
  }
}

inline void check_layer(const LayerExample& example) {
  INFO(example.name);
  if (RunningLayer(example, Device::kReference, DType::kF64).has_inverse()) check_round_trip(example);
  check_logdet(example);
  check_gradients_reach_parameters(example);
  check_devices_agree(example);
  check_batch_independence(example);
}

}  // namespace flowsmith::testing
