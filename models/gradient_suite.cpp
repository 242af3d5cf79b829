#include "models/gradient_suite.h"

#include <cmath>

#include "kernels/likelihood.h"

namespace flowsmith::core {
namespace {

/// A flow with random parameters and one example.
class FlowExample {
 public:
  FlowExample(const FlowConfig& config, Device device, DType type, bool recompute)
      : flow_(config, device, type), recompute_(recompute), pixels_(flow_.dims()), values_(flow_.dims()) {
    set_random_parameters(flow_, 20240609);
    for (std::size_t i = 0; i < pixels_.size(); ++i) {
      pixels_[i] = std::uint8_t(40 + 11 * i);
      values_[i] = std::sin(3.0 + double(i));
    }
  }

  std::vector<Var> record_loss(Tape& tape) const {
    tape.set_recompute(recompute_);
    const std::uint32_t index = 0;
    const DType path = flow_.parameters().dtype();
    const Batch batch{pixels_.data(), &index, 1, values_.data()};
    const Flow::Pass pass = flow_.forward(tape, batch, {}, path, false);
    return {mean_negative_log_prob(tape, pass.log_prob, nats_per_bit_per_dim(flow_.dims()))};
  }

  std::vector<CheckedInput> inputs() const {
    std::vector<CheckedInput> inputs;
    const Parameters& parameters = flow_.parameters();
    for (int i = 0; i < parameters.count(); ++i) {
      inputs.push_back({parameters[i].name, parameters.value(i), parameters.grad(i)});
    }
    return inputs;
  }

  std::vector<std::vector<double>> gradients() const {
    Tape tape(flow_.device());
    tape.start(true);
    tape.backward(record_loss(tape).front());
    std::vector<std::vector<double>> gradients;
    for (const CheckedInput& input : inputs()) gradients.push_back(to_doubles(input.grad, flow_.device()));
    return gradients;
  }

 private:
  Flow flow_;
  bool recompute_;
  std::vector<std::uint8_t> pixels_;
  std::vector<double> values_;
};

/// Whether all networks have ELUs.
bool tutorial_networks(const FlowConfig& config) { return config.line().find("gated_resnet") != std::string::npos; }

std::string flow_name(const FlowConfig& config, bool recompute) {
  return "flow " + config.name() + " " + Shape(config.data_shape()).to_string() + (recompute ? " recompute" : "");
}

std::vector<GradientCheck> difference_checks(const FlowConfig& config, bool recompute) {
  // Where a ReLU passes its kink on the way the difference is no derivative, and there are hundreds of them: a shorter
  // way passes fewer.
  constexpr double kStep = kDirectionStep / 10;
  const FlowExample example(config, Device::kReference, DType::kF64, recompute);
  // No element alone, so that the whole suite takes seconds: a random direction sees every element, and one that is
  // wrong moves the derivative by its share of the norm: 4e-3 among 70,000, hundreds of bounds.
  return check_gradients(
      example.inputs(), [&](Tape& tape) { return example.record_loss(tape); }, 0,
      tutorial_networks(config) ? kDirectionStep : kStep);
}

std::vector<GradientCheck> float_checks(const FlowConfig& config, Device device, bool recompute) {
  const FlowExample example(config, device, DType::kF32, recompute),
      exact(config, Device::kReference, DType::kF64, false);
  std::vector<std::string> names;
  for (const CheckedInput& input : exact.inputs()) names.push_back(input.name);
  return compare_gradients(names, example.gradients(), exact.gradients());
}

std::vector<FlowConfig> flow_configs() {
  std::vector<FlowConfig> configs;
  for (const std::string& name : FlowConfig::names()) configs.push_back(small_config(name));
  return configs;
}

}  // namespace

FlowConfig small_config(const std::string& name) {
  const FlowConfig config = FlowConfig::named(name);
  if (name == "moons") return config.with("layers.0.repeat", "3").with("layers.0.conditioner.hidden", "[6, 5]");
  if (name == "nice") return config.with_shape(3, 5, 1).with("layers.0.conditioner.hidden", "[7, 6]");
  if (name == "glow") {
    FlowConfig small = config.with_shape(4, 4, 1);
    for (const std::string level : {"layers.0.layers.1.", "layers.2."}) {
      small = small.with(level + "repeat", "2").with(level + "layers.2.conditioner.hidden", "5");
    }
    return small;
  }
  if (name == "realnvp") {
    FlowConfig small = config.with_shape(8, 8, 1);
    for (const std::string scale : {"layers.0.", "layers.2.", "layers.4.", "layers.6.", "layers.8."}) {
      const std::string network = scale + "layers.0.conditioner.";
      small = small.with(scale + "repeat", "2").with(network + "hidden", "3").with(network + "blocks", "1");
    }
    return small;
  }
  const int side = name.starts_with("multiscale") ? 4 : 3;  // odd, but for the squeezes
  return config.with_shape(side, side, 1);
}

std::vector<GradientCase> flow_difference_cases() {
  std::vector<GradientCase> cases;
  for (const bool recompute : {false, true}) {
    for (const FlowConfig& config : flow_configs()) {
      cases.push_back({flow_name(config, recompute), kFlowGradientBound,
                       [config, recompute] { return difference_checks(config, recompute); }});
    }
  }
  return cases;
}

std::vector<GradientCase> flow_float_cases(Device device) {
  std::vector<GradientCase> cases;
  for (const bool recompute : {false, true}) {
    for (const FlowConfig& config : flow_configs()) {
      cases.push_back({device_name(device) + " f32 " + flow_name(config, recompute), kFloatFlowGradientBound,
                       [config, device, recompute] { return float_checks(config, device, recompute); }});
    }
  }
  return cases;
}

std::vector<GradientCase> all_gradient_cases(Device device) {
  std::vector<GradientCase> all = op_difference_cases();
  const auto add = [&](const std::vector<GradientCase>& cases) { all.insert(all.end(), cases.begin(), cases.end()); };
  add(flow_difference_cases());
  if (device.kind != DeviceKind::kReference) {
    add(op_float_cases(device));
    add(flow_float_cases(device));
  }
  return all;
}

void set_random_parameters(Parameters& parameters, std::uint64_t seed) {
  parameters.initialize(seed);
  for (int i = 0; i < parameters.count(); ++i) {
    std::vector<float> values(parameters[i].shape.size()), noise(values.size());
    const std::uint32_t index = 1;  // the initial values are those of index 0
    const NoiseStream stream{seed, NoisePurpose::kWeights, std::uint32_t(i)};
    uniform_noise(noise.data(), &index, &stream, 1, noise.size(), Reference{});
    parameters.to_file_order(parameters.values(), i, values.data());
    for (std::size_t e = 0; e < values.size(); ++e) values[e] += 0.05f * (2 * noise[e] - 1);
    parameters.from_file_order(parameters.values(), i, values.data());
  }
  for (int i = 0; i < parameters.state_count(); ++i) {
    const std::string& name = parameters.state(i).name;
    const bool mean = name.ends_with("mean");
    if (!mean && !name.ends_with("var") && !name.ends_with("deviation")) continue;
    std::vector<double> values(parameters.state_values(i).size());
    for (std::size_t k = 0; k < values.size(); ++k) {
      values[k] = mean ? 0.2 * double(k % 4) - 0.3 : 0.7 + 0.1 * double((k + 1) % 3);
    }
    parameters.set_state(i, values);
  }
}

void set_random_parameters(Flow& flow, std::uint64_t seed) {
  set_random_parameters(flow.parameters(), seed);
  flow.weights_changed();
}

}  // namespace flowsmith::core
