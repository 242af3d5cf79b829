#include "models/gradient_suite.h"

namespace flowsmith {
namespace {

constexpr Architecture kArchitectures[] = {Architecture::kSimple, Architecture::kVardeq, Architecture::kMultiscale};
constexpr Edition kEditions[] = {Edition::k2024, Edition::k2022};

/// A flow with random parameters and one image.
class FlowExample {
 public:
  FlowExample(const ModelSpec& spec, Device device, DType type, bool recompute)
      : flow_(spec, device, type), recompute_(recompute), pixels_(flow_.dims()) {
    set_random_parameters(flow_.parameters(), 20240609);
    for (std::size_t i = 0; i < pixels_.size(); ++i) pixels_[i] = std::uint8_t(40 + 11 * i);
  }

  std::vector<Var> record_loss(Tape& tape) const {
    tape.set_recompute(recompute_);
    const std::uint32_t index = 0;
    const DType path = flow_.parameters().dtype();
    const Flow::Pass pass = flow_.forward(tape, {pixels_.data(), &index, 1}, {}, path, false);
    return {mean_bits_per_dim(tape, pass.log_prob, flow_.dims())};
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
};

std::string flow_name(const ModelSpec& spec, bool recompute) {
  return "flow " + architecture_name(spec.architecture) + " " + edition_name(spec.edition) + " " +
         Shape{1, spec.height, spec.width, 1}.to_string() + (recompute ? " recompute" : "");
}

std::vector<GradientCheck> difference_checks(const ModelSpec& spec, bool recompute) {
  const FlowExample example(spec, Device::kReference, DType::kF64, recompute);
  // No element alone, so that the whole suite takes seconds: a random direction sees every element, and one that is
  // wrong moves the derivative by its share of the norm: 4e-3 among 70,000, hundreds of bounds.
  return check_gradients(
      example.inputs(), [&](Tape& tape) { return example.record_loss(tape); }, 0);
}

std::vector<GradientCheck> float_checks(const ModelSpec& spec, Device device, bool recompute) {
  const FlowExample example(spec, device, DType::kF32, recompute), exact(spec, Device::kReference, DType::kF64, false);
  std::vector<std::string> names;
  for (const CheckedInput& input : exact.inputs()) names.push_back(input.name);
  return compare_gradients(names, example.gradients(), exact.gradients());
}

std::vector<ModelSpec> flow_specs() {
  std::vector<ModelSpec> specs;
  for (const Edition edition : kEditions) {
    for (const Architecture architecture : kArchitectures) {
      const int side = architecture == Architecture::kMultiscale ? 4 : 3;  // odd, but for the squeezes
      specs.push_back({architecture, edition, side, side});
    }
  }
  return specs;
}

}  // namespace

std::vector<GradientCase> flow_difference_cases() {
  std::vector<GradientCase> cases;
  for (const bool recompute : {false, true}) {
    for (const ModelSpec& spec : flow_specs()) {
      cases.push_back({flow_name(spec, recompute), kFlowGradientBound,
                       [spec, recompute] { return difference_checks(spec, recompute); }});
    }
  }
  return cases;
}

std::vector<GradientCase> flow_float_cases(Device device) {
  std::vector<GradientCase> cases;
  for (const bool recompute : {false, true}) {
    for (const ModelSpec& spec : flow_specs()) {
      cases.push_back({device_name(device) + " f32 " + flow_name(spec, recompute), kFloatFlowGradientBound,
                       [spec, device, recompute] { return float_checks(spec, device, recompute); }});
    }
  }
  return cases;
}

std::vector<GradientCase> all_gradient_cases(Device device) {
  std::vector<GradientCase> all = op_difference_cases();
  const auto add = [&](const std::vector<GradientCase>& cases) { all.insert(all.end(), cases.begin(), cases.end()); };
  add(flow_difference_cases());
  if (device != Device::kReference) {
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
    uniform_noise(noise.data(), &index, NoiseStream{seed, NoisePurpose::kWeights, std::uint32_t(i)}, 1, noise.size(),
                  Reference{});
    parameters.to_file_order(parameters.values(), i, values.data());
    for (std::size_t e = 0; e < values.size(); ++e) values[e] += 0.05f * (2 * noise[e] - 1);
    parameters.from_file_order(parameters.values(), i, values.data());
  }
}

}  // namespace flowsmith
