// One suite for every layer of a flow, and for what stands in front of the layers and behind them: round trip,
// log-determinant in both directions, gradients, large inputs, devices, batches and threads.
//
//   check_layer(layer_example(R"({"type": "squeeze"})", {2, 4, 6, 3}));
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "autograd/gradient_check.h"
#include "kernels/likelihood.h"
#include "models/bijectors/bijector.h"
#include "models/component.h"
#include "models/gradient_suite.h"
#include "models/registry.h"
#include "tests/support/bf16_model.h"
#include "tests/support/jacobian.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {

/// A layer as the suite sees it.
struct Layer {
  std::function<Var(FlowPass&, Var)> forward;
  std::function<Var(FlowPass&, Var)> inverse;  ///< empty if it has none on the real line (dequantization)
  std::function<void(const Parameters&)> weights_changed;
};

/// The settings of one component, from JSON text as a configuration has it.
inline Settings settings_of(const std::string& json, ComponentKind kind) {
  return {check_component(nlohmann::ordered_json::parse(json), kind, "it"), "it"};
}

/// The layer of a JSON text behind a z of this shape; its parameters begin with "flows.1.".
inline std::unique_ptr<Bijector> make_layer(const std::string& json, MapShape shape, Parameters& parameters) {
  Builder builder{parameters, "flows.1.", {1, shape.h, shape.w, shape.c}};
  return make_layer(settings_of(json, ComponentKind::kLayer), builder);
}

/// A layer to test, and where.
struct LayerExample {
  std::string name;
  std::function<Layer(Parameters&)> make;  ///< adds its parameters
  MapShape shape;                          ///< of the input x
  std::vector<double> x;
  bool volume_preserving = false;  ///< its log-determinant is 0; all others' must be seen, or a wrong sign would not be
  /// Added to the biases of networks, so that what they predict has one sign and log-determinants do not cancel.
  double bias_shift = 1;
  bool can_squash = false;  ///< its scale may be as good as 0 at large inputs, and then there is no way back
  bool unbounded = false;   ///< a network's output goes through exp() as it is: large inputs may overflow
  bool is_density = false;  ///< what it adds to logdet is a log-density: a base
  bool x_has_gradient = true;
  bool has_networks = true;  ///< in float on fast devices; otherwise all is double there too
};

/// n*h*w*c standard normal numbers.
inline std::vector<double> normals(MapShape shape, std::uint64_t seed) {
  return random_normal<double>(shape.size(), seed);
}

/// The layer of a JSON text at standard normal numbers.
inline LayerExample layer_example(const std::string& json, MapShape shape) {
  const auto make = [=](Parameters& parameters) -> Layer {
    const std::shared_ptr<Bijector> layer = make_layer(json, shape, parameters);
    return {[layer](FlowPass& pass, Var x) { return layer->forward(pass, x); },
            [layer](FlowPass& pass, Var z) { return layer->inverse(pass, z); },
            [layer](const Parameters& p) { layer->weights_changed(p); }};
  };
  return {json, make, shape, normals(shape, 1)};
}

/// What a layer makes of a batch.
struct LayerResult {
  MapShape shape;                            ///< of z
  std::vector<double> z;                     ///< the rest of the flow's input
  std::vector<std::vector<double>> latents;  ///< sent to the prior
  std::vector<MapShape> latent_shapes;
  std::vector<double> logdet;  ///< without the density of the latents
};

inline double standard_normal_log_density(const double* values, std::size_t size) {
  constexpr double kLog2Pi = 1.837877066409345483560659;
  double sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum -= (values[i] * values[i] + kLog2Pi) / 2;
  return sum;
}

/// Calls change(value) for every element of the parameters whose name ends so.
template <class Change>
void change_parameters(Parameters& parameters, std::string_view suffix, const Change& change) {
  for (int i = 0; i < parameters.count(); ++i) {
    if (!parameters[i].name.ends_with(suffix)) continue;
    std::vector<float> values(parameters[i].shape.size());
    parameters.to_file_order(parameters.values(), i, values.data());
    for (float& value : values) value = float(change(double(value)));
    parameters.from_file_order(parameters.values(), i, values.data());
  }
}

/// Random parameters and statistics, all of which act, and log-determinants that do not cancel.
inline void set_telling_parameters(Parameters& parameters, double bias_shift) {
  set_random_parameters(parameters, 7);
  change_parameters(parameters, "bias", [&](double v) { return v + bias_shift; });
  change_parameters(parameters, "log_scale", [](double v) { return v + 0.3; });
  for (int i = 0; i < parameters.count(); ++i) {  // rotations, whose determinants are 1
    if (parameters[i].layout != ParameterLayout::kMatrix || !parameters[i].name.ends_with(".weight")) continue;
    change_parameters(parameters, parameters[i].name, [](double v) { return 1.5 * v; });
  }
}

/// A layer with random parameters on a device; the path of the flow is f64.
class RunningLayer {
 public:
  RunningLayer(const LayerExample& example, Device device, DType network_type)
      : parameters_(device, network_type), layer_(example.make(parameters_)), tape_(device) {
    parameters_.allocate();
    set_telling_parameters(parameters_, example.bias_shift);
    layer_.weights_changed(parameters_);
  }

  const Parameters& parameters() const { return parameters_; }
  bool has_inverse() const { return layer_.inverse != nullptr; }
  void set_batch_statistics(bool on) { batch_statistics_ = on; }

  LayerResult forward(const std::vector<double>& x, MapShape shape) {
    tape_.start(false);
    FlowPass pass = new_pass(shape.n, {}, true);
    pass.log_prior = zeros(tape_, shape.n);
    const Tensor z = tape_.value(layer_.forward(pass, input(x, shape)));
    LayerResult result{z.map(), read(z), {}, {}, read(tape_.value(pass.logdet))};
    for (const Tensor& latent : pass.latents) {
      result.latents.push_back(read(latent));
      result.latent_shapes.push_back(latent.map());
    }
    return result;
  }

  struct Inverse {
    std::vector<double> x, logdet;
  };

  /// `logdet` says whether that of the inverse direction is wanted.
  Inverse inverse(const LayerResult& result, bool logdet) {
    tape_.start(false);
    std::vector<Tensor> latents;
    for (std::size_t k = 0; k < result.latents.size(); ++k) {
      latents.push_back(tape_.value(input(result.latents[k], result.latent_shapes[k])));
    }
    FlowPass pass = new_pass(result.shape.n, std::move(latents), false);
    const Var sums = pass.logdet;
    if (!logdet) pass.logdet = {};
    const Var x = layer_.inverse(pass, input(result.z, result.shape));
    return {read(tape_.value(x)), read(tape_.value(sums))};
  }

  /// The gradients of all parameters of mean(log N(z; 0, 1) + logdet).
  std::vector<std::vector<double>> gradients(const std::vector<double>& x, MapShape shape) {
    tape_.start(true);
    FlowPass pass = new_pass(shape.n, {}, false);
    gaussian_log_density(tape_, layer_.forward(pass, input(x, shape)), pass.logdet);
    tape_.backward(mean_negative_log_prob(tape_, pass.logdet, nats_per_bit_per_dim(shape.image_size())));
    std::vector<std::vector<double>> result;
    for (int i = 0; i < parameters_.count(); ++i) result.push_back(read(parameters_.grad(i)));
    return result;
  }

  /// The gradients of x and of all parameters against differences, those of z and logdet in one sum.
  std::vector<GradientCheck> gradient_checks(const std::vector<double>& x, MapShape shape, bool x_has_gradient) {
    constexpr std::size_t kElements = 4;  // of each, and a direction in all of them
    Arena arena(parameters_.device());
    const CheckedInput leaf{"x", arena.tensor(DType::kF64, shape), arena.tensor(DType::kF64, shape)};
    upload(parameters_.device(), leaf.value, x.data());
    std::vector<CheckedInput> inputs;
    if (x_has_gradient) inputs.push_back(leaf);
    for (int i = 0; i < parameters_.count(); ++i) {
      inputs.push_back({parameters_[i].name, parameters_.value(i), parameters_.grad(i)});
    }
    const auto record = [&](Tape& tape) {
      const ParameterVars vars(tape, parameters_);
      const Var logdet = zeros(tape, shape.n);
      FlowPass pass{tape, vars, parameters_.dtype(), logdet, {}, false};
      pass.batch_statistics = batch_statistics_;
      const Var in = x_has_gradient ? tape.leaf(leaf.value, leaf.grad) : tape.constant(leaf.value);
      return std::vector{layer_.forward(pass, in), logdet};
    };
    return check_gradients(inputs, record, kElements);
  }

 private:
  std::vector<double> read(const Tensor& tensor) const { return to_doubles(tensor, parameters_.device()); }

  Var input(const std::vector<double>& values, MapShape shape) {
    const Tensor tensor = tape_.arena().tensor(DType::kF64, shape);
    upload(parameters_.device(), tensor, values.data());
    return tape_.constant(tensor);
  }

  static Var zeros(Tape& tape, int n) {
    const Var sums = tape.output(DType::kF64, Shape{n}, true);
    fill_zero(tape.device(), tape.value(sums));
    return sums;
  }

  FlowPass new_pass(int n, std::vector<Tensor> latents, bool keep_latents) {
    vars_ = std::make_unique<ParameterVars>(tape_, parameters_);
    FlowPass pass{tape_, *vars_, parameters_.dtype(), zeros(tape_, n), std::move(latents), keep_latents};
    pass.batch_statistics = batch_statistics_;
    return pass;
  }

  Parameters parameters_;
  Layer layer_;
  Tape tape_;
  std::unique_ptr<ParameterVars> vars_;
  bool batch_statistics_ = false;
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

/// The largest |value|, and no less than 1.
inline double largest_size(const std::vector<double>& values) {
  double largest = 1;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

inline bool all_finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

/// z and all latents, one after the other.
inline std::vector<double> joined(const LayerResult& result) {
  std::vector<double> all = result.z;
  for (const auto& latent : result.latents) all.insert(all.end(), latent.begin(), latent.end());
  return all;
}

/// Both directions compute the same s and t from the same bits, so that only z * e^s rounds, a few times 1e-16; and
/// sums of some s.
inline constexpr double kRoundTripError = 1e-13;

/// Networks in float, whose few hundred roundings of 6e-8 reach z by s and t, of order 1.
inline constexpr double kFloatError = 1e-5;

inline void check_round_trip_of(RunningLayer& layer, const LayerExample& example, const std::vector<double>& x) {
  const LayerResult forward = layer.forward(x, example.shape);
  // z holds t, which may be larger than x, and x is what is left when t is taken off.
  const double scale = std::max(largest_size(x), largest_size(joined(forward)));
  const RunningLayer::Inverse alone = layer.inverse(forward, false);
  CHECK(largest_difference(alone.x, x) < kRoundTripError * scale);
  const RunningLayer::Inverse inverse = layer.inverse(forward, true);
  CHECK(inverse.x == alone.x);
  if (example.is_density) return;
  for (int i = 0; i < example.shape.n; ++i) {
    // A sum of as many terms as there are numbers, each of which rounds it by half a unit in its last place.
    const double bound = kRoundTripError + 0x1p-53 * double(example.shape.image_size()) * std::abs(forward.logdet[i]);
    CHECK(std::abs(inverse.logdet[i] + forward.logdet[i]) < bound);
  }
}

inline void check_round_trip(const LayerExample& example) {
  for (const auto& [device, type] :
       {std::pair{Device::kReference, DType::kF64}, std::pair{Device::kCpu, DType::kF32}}) {
    RunningLayer layer(example, device, type);
    check_round_trip_of(layer, example, example.x);
  }
}

inline void check_logdet(const LayerExample& example) {
  RunningLayer layer(example, Device::kReference, DType::kF64);
  const MapShape one{1, example.shape.h, example.shape.w, example.shape.c};
  const std::vector<double> x(example.x.begin(), example.x.begin() + one.size());
  const double expected =
      log_abs_det_jacobian([&](const std::vector<double>& at) { return joined(layer.forward(at, one)); }, x);
  CHECK(layer.forward(x, one).logdet[0] == Approx(expected).margin(kLogDetError).epsilon(0));
  for (const double logdet : layer.forward(example.x, example.shape).logdet) {
    if (example.volume_preserving) {
      CHECK(logdet == 0);
    } else {
      CHECK(std::abs(logdet) > 1);
    }
  }
}

inline void check_gradients_reach_parameters(const LayerExample& example) {
  RunningLayer layer(example, Device::kReference, DType::kF64);
  const std::vector<std::vector<double>> gradients = layer.gradients(example.x, example.shape);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    INFO(layer.parameters()[int(i)].name);
    CHECK(all_finite(gradients[i]));
    CHECK(std::any_of(gradients[i].begin(), gradients[i].end(), [](double value) { return value != 0; }));
  }
}

inline void check_gradient_values(const LayerExample& example, bool batch_statistics = false) {
  RunningLayer layer(example, Device::kReference, DType::kF64);
  layer.set_batch_statistics(batch_statistics);
  for (const GradientCheck& check : layer.gradient_checks(example.x, example.shape, example.x_has_gradient)) {
    INFO(check.input << " at " << check.where);
    CHECK(check.error <= kFlowGradientBound);
  }
}

/// Numbers far out, and exactly 0: nothing overflows, and there is a way back.
inline void check_large_inputs(const LayerExample& example) {
  if (!RunningLayer(example, Device::kReference, DType::kF64).has_inverse()) return;
  for (const auto& [device, type] :
       {std::pair{Device::kReference, DType::kF64}, std::pair{Device::kCpu, DType::kF32}}) {
    RunningLayer layer(example, device, type);
    const auto check = [&](bool far_out, const std::function<double(std::size_t)>& value) {
      std::vector<double> x(example.x.size());
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = value(i);
      const LayerResult forward = layer.forward(x, example.shape);
      CHECK(all_finite(joined(forward)));
      CHECK(all_finite(forward.logdet));
      if (!far_out || !example.can_squash) check_round_trip_of(layer, example, x);
      for (const auto& gradient : layer.gradients(x, example.shape)) CHECK(all_finite(gradient));
    };
    check(false, [](std::size_t) { return 0; });
    if (example.unbounded) continue;
    check(true, [](std::size_t) { return 1e4; });
    check(true, [](std::size_t) { return -1e4; });
    check(true, [](std::size_t i) { return i % 2 == 0 ? 1e4 : -1e4; });
    check(true, [](std::size_t i) { return i % 5 == 0 ? 1e4 : 0; });
  }
}

/// A device against the reference, both with networks in float.
inline void check_device(const LayerExample& example, Device device, bool gradients) {
  RunningLayer fast(example, device, DType::kF32), reference(example, Device::kReference, DType::kF32);
  const LayerResult got = fast.forward(example.x, example.shape), want = reference.forward(example.x, example.shape);
  // Where there is no network, parameters are the same floats and all else is double.
  const double bound = example.has_networks ? kFloatError : kRoundTripError;
  CHECK(largest_difference(joined(got), joined(want)) < bound * largest_size(joined(want)));
  // A sum over the elements of an image.
  CHECK(largest_difference(got.logdet, want.logdet) < bound * double(example.shape.image_size()));
  if (fast.has_inverse()) check_round_trip_of(fast, example, example.x);
  if (!gradients) return;
  std::vector<std::string> names;
  for (int i = 0; i < fast.parameters().count(); ++i) names.push_back(fast.parameters()[i].name);
  RunningLayer exact(example, Device::kReference, DType::kF64);
  for (const GradientCheck& check :
       compare_gradients(names, fast.gradients(example.x, example.shape), exact.gradients(example.x, example.shape))) {
    INFO(check.input << " at " << check.where);
    CHECK(check.error <= kFloatFlowGradientBound);
  }
}

/// An image alone gives the same bits as in a batch.
inline void check_batch_independence(const LayerExample& example, Device device) {
  REQUIRE(example.shape.n > 1);
  MapShape one = example.shape;
  one.n = 1;
  const std::size_t size = one.size();
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

/// Any number of threads gives the same bits, in both directions and in gradients.
inline void check_threads(const LayerExample& example, Device device = Device::kCpu) {
  const auto everything = [&](int threads) {
    device.threads = threads;
    RunningLayer layer(example, device, DType::kF32);
    const LayerResult forward = layer.forward(example.x, example.shape);
    Outputs all{joined(forward), forward.logdet};
    if (layer.has_inverse()) {
      const RunningLayer::Inverse inverse = layer.inverse(forward, true);
      all.push_back(inverse.x);
      all.push_back(inverse.logdet);
    }
    for (const auto& gradient : layer.gradients(example.x, example.shape)) all.push_back(gradient);
    return all;
  };
  const Outputs one = everything(1);
  for (const int threads : {2, 3}) {
    const Outputs again = everything(threads);
    for (std::size_t i = 0; i < one.size(); ++i) CHECK(same_bits(again[i], one[i]));
  }
}

/// What networks in bf16 predict is off by some 2^-9 of its terms, and both directions predict the same.
inline void check_bf16(const LayerExample& example) {
  RunningLayer exact(example, Device::kCpu, DType::kF32);
  const LayerResult want = exact.forward(example.x, example.shape);
  RunningLayer layer(example, kBf16Model, DType::kF32);
  const LayerResult got = layer.forward(example.x, example.shape);
  CHECK(largest_difference(joined(got), joined(want)) < 0.05 * largest_size(joined(want)));
  CHECK(joined(got) != joined(want));
  check_round_trip_of(layer, example, example.x);
  check_batch_independence(example, kBf16Model);
  check_threads(example, kBf16Model);
}

/// What a layer of any size is held to. Maps of more than a few dozen numbers have no Jacobian here.
inline void check_layer_at_size(const LayerExample& example) {
  INFO(example.name << " of " << Shape(example.shape).to_string());
  if (RunningLayer(example, Device::kReference, DType::kF64).has_inverse()) check_round_trip(example);
  check_device(example, Device::kCpu, true);
  check_batch_independence(example, Device::kCpu);
  check_threads(example);
}

inline void check_layer(const LayerExample& example) {
  check_layer_at_size(example);
  INFO(example.name << " of " << Shape(example.shape).to_string());
  if (!example.is_density) check_logdet(example);
  check_gradients_reach_parameters(example);
  check_gradient_values(example);
  check_large_inputs(example);
  check_batch_independence(example, Device::kReference);
}

/// On the emulated GPU, which is slow.
inline void check_layer_on_gpu(const LayerExample& example) {
  INFO(example.name << " of " << Shape(example.shape).to_string());
  check_device(example, Device::kEmulated, true);
  check_batch_independence(example, Device::kEmulated);
}

}  // namespace flowsmith::core::testing
