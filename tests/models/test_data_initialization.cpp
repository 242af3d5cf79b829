// Layers whose initial values come from data: actnorm, between couplings and inside their networks.
#include "autograd/activation.h"
#include "kernels/channel_affine.h"
#include "models/conditioners/conditioner.h"
#include "models/files/weights.h"
#include "models/gradient_suite.h"
#include "models/runs/evaluation.h"
#include "tests/support/bijector_suite.h"
#include "tests/support/flow_examples.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core::testing {
namespace {

constexpr NoiseStream kNoise{5, NoisePurpose::kTraining, 0};
constexpr int kCount = 20;

/// Mean and variance of each channel of values (n,h,w,c) must be 0 and 1. What learns them is float, which rounds at
/// 6e-8 of shifts of order 10, and 1e-6 is added to deviations; `network`: the values are float too.
void check_normalised(const std::vector<double>& values, int c, bool network = false) {
  const double bound = network ? 1e-4 : 1e-5;
  const std::size_t m = values.size() / c;
  for (int k = 0; k < c; ++k) {
    double mean = 0, square = 0;
    for (std::size_t i = 0; i < m; ++i) mean += values[i * c + k] / double(m);
    for (std::size_t i = 0; i < m; ++i) square += std::pow(values[i * c + k] - mean, 2) / double(m);
    INFO("channel " << k);
    CHECK(std::abs(mean) < bound);
    CHECK(square == Approx(1).epsilon(2 * bound));
  }
}

/// Glow's layers one by one, in colour, with two levels.
const std::string kStep = R"("actnorm", {"type": "invertible_conv", "form": "plu"},
    {"type": "coupling", "mask": "channel", "conditioner": {"type": "glow_cnn", "hidden": 6}})";

FlowConfig glow_config(const std::string& layers) {
  return FlowConfig::parse(
      R"({"data": {"type": "image8", "height": 4, "width": 8, "channels": 3}, "layers": [)" + layers + "]}", "here");
}

/// The flow of the first layers of another one, with its parameters.
Flow front_of(const Flow& flow, const std::string& layers) {
  Flow front(glow_config(layers));
  const Parameters& all = flow.parameters();
  Parameters& some = front.parameters();
  for (int i = 0, k = 0; i < some.count(); ++i) {
    if (some[i].name.starts_with("base.")) continue;
    while (all[k].name != some[i].name) ++k;
    upload(front.device(), some.value(i), all.value(k).data<float>());
  }
  for (int i = 0; i < some.state_count(); ++i) some.set_state(i, to_doubles(all.state_values(i)));
  front.weights_changed();
  return front;
}

std::vector<float> weights_of(const Flow& flow) { return download<float>(flow.device(), flow.parameters().values()); }

/// Images whose channels differ, so that each has values of its own.
FlowExamples tinted(const Flow& flow) {
  FlowExamples examples(flow, kCount);
  for (std::size_t i = 0; i < examples.pixels.size(); ++i) {
    examples.pixels[i] = std::uint8_t(examples.pixels[i] / (1 + i % 3) + 20 * (i % 3));
  }
  return examples;
}

}  // namespace

TEST_CASE("every actnorm begins with what takes the first examples to mean 0 and variance 1", "[data_init]") {
  const std::string to_first = R"("squeeze", "actnorm")";
  const std::string to_second = R"("squeeze", )" + kStep + R"(, "actnorm")";
  const std::string to_third = R"("squeeze", )" + kStep + ", " + kStep + R"(, "split", "squeeze", "actnorm")";
  Flow flow(glow_config(R"("squeeze", )" + kStep + ", " + kStep + R"(, "split", "squeeze", )" + kStep));
  CHECK(flow.needs_data());
  flow.initialize(3);
  CHECK_FALSE(flow.is_data_initialized());
  const FlowExamples examples = tinted(flow);
  flow.initialize_from(examples.batch(), {kNoise});
  CHECK(flow.is_data_initialized());
  for (const auto& [layers, channels] : {std::pair{to_first, 12}, std::pair{to_second, 12}, std::pair{to_third, 24}}) {
    INFO(layers);
    Flow front = front_of(flow, layers);
    check_normalised(front.encode(examples.batch(), {kNoise}).back().values, channels);
  }
  // New couplings are the identity but for their scale, so this was no more than one actnorm after the other: now the
  // networks act.
  flow.initialize(3);
  for (int i = 0; i < flow.parameters().count(); ++i) {
    if (!flow.parameters()[i].name.ends_with("last.weight")) continue;
    std::vector<float> values = download<float>(Device::kCpu, flow.parameters().value(i));
    for (std::size_t e = 0; e < values.size(); ++e) values[e] = 0.1f * float(e % 7) - 0.3f;
    upload(Device::kCpu, flow.parameters().value(i), values.data());
  }
  flow.initialize_from(examples.batch(), {kNoise});
  Flow front = front_of(flow, to_third);
  check_normalised(front.encode(examples.batch(), {kNoise}).back().values, 24);
  check_examples_survive(flow, examples, kNoise);
}

TEST_CASE("the actnorms inside Glow's network begin that way too", "[data_init]") {
  const MapShape shape{6, 5, 4, 3};
  for (const auto& [device, type] :
       {std::pair{Device::kReference, DType::kF64}, std::pair{Device::kCpu, DType::kF32}}) {
    Parameters parameters(device, type);
    const auto coupling =
        make_layer(R"({"type": "coupling", "mask": "channel", "conditioner": {"type": "glow_cnn", "hidden": 7}})",
                   shape, parameters);
    parameters.allocate();
    parameters.initialize(4);
    CHECK(coupling->needs_data());
    std::vector<double> x = normals(shape, 8);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = 3 * x[i] - 2;
    Tape tape(device);
    const auto input = [&] {
      const Tensor tensor = tape.arena().tensor(DType::kF64, shape);
      upload(device, tensor, x.data());
      return tape.constant(tensor);
    };
    const auto pass_on = [&](const ParameterVars& vars) {
      const Var logdet = tape.output(DType::kF64, Shape{shape.n}, false);
      fill_zero(device, tape.value(logdet));
      return FlowPass{tape, vars, type, logdet, {}, false};
    };
    tape.start(false);
    {
      const ParameterVars vars(tape, parameters);
      FlowPass pass = pass_on(vars);
      coupling->initialize(pass, parameters, input());
    }
    tape.start(false);
    const ParameterVars vars(tape, parameters);
    const auto parameter = [&](const std::string& name) {
      int i = 0;
      while (parameters[i].name != "flows.1.network." + name) ++i;
      return vars[i];
    };
    const Mask mask = coupling->masks()[0].mask;
    Var h = conditioner_input(tape, input(), {}, mask, type);
    for (const std::string layer : {"first", "middle"}) {
      INFO(device_name(device) << " " << layer);
      h = conv(tape, h, parameter(layer + ".weight"), parameter(layer + ".bias"), false);
      h = channel_affine(tape, h, parameter(layer + ".log_scale"), Var{}, 1, Var{});
      check_normalised(to_doubles(tape.value(h), device), 7, true);
      activate(tape, h, Activation::kRelu);
    }
  }
}

TEST_CASE("layers of the dequantization see the first examples too", "[data_init]") {
  const FlowConfig config = glow_config("").with("dequantization", R"({"type": "variational", "layers": ["actnorm",
      {"type": "coupling", "conditioner": {"type": "glow_cnn", "hidden": 4}}]})");
  Flow flow(config);
  CHECK(flow.needs_data());
  flow.initialize(3);
  const FlowExamples examples = tinted(flow);
  flow.initialize_from(examples.batch(), {kNoise});
  // What actnorm sees is logistic noise, of mean 0 and deviation pi / sqrt(3); 640 numbers in each channel.
  const Parameters& p = flow.parameters();
  REQUIRE(p[0].name == "flows.0.flows.0.log_scale");
  for (const float value : download<float>(Device::kCpu, p.value(0))) {
    CHECK(value == Approx(-std::log(M_PI / std::sqrt(3.0))).margin(0.15));
  }
  int networks = 0;
  for (int i = 0; i < p.count(); ++i) {
    if (!p[i].name.ends_with("first.log_scale")) continue;
    for (const float value : download<float>(Device::kCpu, p.value(i))) networks += value != 0;
  }
  CHECK(networks == 4);
  check_examples_survive(flow, examples, kNoise);
}

TEST_CASE("first examples give the same values at any number of threads, and on other devices but for rounding",
          "[data_init]") {
  const FlowConfig config = small_config("glow").with_shape(8, 4, 3);
  const auto initialized = [&](Device device) {
    Flow flow(config, device);
    flow.initialize(3);
    const FlowExamples examples = tinted(flow);
    flow.initialize_from(examples.batch(), {kNoise});
    return weights_of(flow);
  };
  const std::vector<float> one = initialized(Device{.threads = 1});
  for (const int threads : {2, 3}) CHECK(same_bits(initialized(Device{.threads = threads}), one));
  CHECK(relative_error(initialized(Device::kReference), one) < 1e-5);  // float networks
  Flow flow(config);
  flow.initialize(3);
  CHECK(relative_error(weights_of(flow), one) > 0.01);  // they have moved
}

TEST_CASE("first examples on the GPU's kernels give the values of the host", "[data_init][gpu]") {
  const auto initialized = [&](Device device) {
    Flow flow(small_config("glow"), device);
    flow.initialize(3);
    const FlowExamples examples(flow, 4);
    flow.initialize_from(examples.batch(), {kNoise});
    return weights_of(flow);
  };
  CHECK(relative_error(initialized(Device::kEmulated), initialized(Device::kCpu)) < 1e-5);  // float networks
}

TEST_CASE("a flow that has seen its first examples says so in its file, and does not begin anew", "[data_init]") {
  const TempDir dir;
  Flow flow(small_config("glow"));
  flow.initialize(3);
  const std::string path = dir.file("w.safetensors");
  flow.save(path);
  CHECK_FALSE(read_safetensors(path).metadata.contains("data_initialized"));
  CHECK_FALSE(Flow::load(path).is_data_initialized());
  const FlowExamples examples(flow);
  flow.initialize_from(examples.batch(), {kNoise});
  flow.save(path);
  CHECK(read_safetensors(path).metadata.at("data_initialized") == "yes");
  Flow loaded = Flow::load(path);
  CHECK(loaded.is_data_initialized());
  CHECK(same_bits(weights_of(loaded), weights_of(flow)));
  CHECK(same_bits(loaded.log_prob(examples.batch(), {kNoise}), flow.log_prob(examples.batch(), {kNoise})));
  loaded.initialize(3);  // a new flow again
  CHECK_FALSE(loaded.is_data_initialized());

  Flow still(small_config("simple"));
  CHECK_FALSE(still.needs_data());
}

}  // namespace flowsmith::core::testing
