// The contract of whole flows: examples come back, log-determinants are right, every parameter learns, and neither the
// device nor the batch changes a result.
#include <catch2/catch.hpp>

#include "kernels/likelihood.h"
#include "tests/support/bijector_suite.h"
#include "tests/support/flow_examples.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core::testing {
namespace {

constexpr NoiseStream kNoise{17, NoisePurpose::kScoring, 0};

/// All named models in their smallest form, and some more: in colour, with fewer grey levels, with other bases, and
/// with more kinds of layers in the dequantization. The reference device is slow.
std::vector<FlowConfig> all_configs() {
  std::vector<FlowConfig> configs;
  for (const std::string& name : FlowConfig::names()) configs.push_back(small_config(name));
  configs.push_back(small_config("glow").with_shape(4, 4, 3).with("data.levels", "32"));
  configs.push_back(small_config("realnvp").with_shape(8, 8, 3).with("data.levels", "32").with("base", "mixture"));
  configs.push_back(
      small_config("glow")
          .with("layers.0.layers.1.layers.1.form", "plain")
          .with("layers.0.layers.1.layers.0.factor", "3")
          .with("dequantization",
                R"({"type": "variational", "layers": ["actnorm", {"type": "invertible_conv", "form": "plain"},
        {"type": "coupling", "repeat": 2, "alternate": true, "conditioner": {"type": "glow_cnn", "hidden": 5}}, 
        {"type": "coupling", "conditioner": {"type": "resnet", "hidden": 4, "blocks": 1}}, "batch_norm"]})"));
  configs.push_back(small_config("moons").with("data.standardize", "true").with("base", "diagonal_normal"));
  return configs;
}

FlowConfig any_config() {
  static const std::vector<FlowConfig> configs = all_configs();
  const int i = GENERATE(range(0, int(all_configs().size())));
  return configs[i];
}

Flow random_flow(const FlowConfig& config, Device device, DType type = DType::kF32) {
  Flow flow(config, device, type);
  set_random_parameters(flow, 7);
  return flow;
}

std::string title(const FlowConfig& config) { return config.name() + " " + Shape(config.data_shape()).to_string(); }

}  // namespace

TEST_CASE("examples survive encode and decode on every device") {
  const FlowConfig config = any_config();
  INFO(title(config));
  for (const Device device : {Device::kCpu, Device::kReference}) {
    Flow flow = random_flow(config, device);
    check_examples_survive(flow, FlowExamples(flow), kNoise);
  }
}

TEST_CASE("images survive the GPU's kernels, which score them as the host does", "[gpu]") {
  for (const FlowConfig& config : {small_config("glow"), small_config("realnvp"), small_config("nice")}) {
    INFO(title(config));
    Flow gpu = random_flow(config, Device::kEmulated), host = random_flow(config, Device::kCpu);
    const FlowExamples examples(gpu, 2);
    check_examples_survive(gpu, examples, kNoise);
    const std::vector<double> want = host.log_prob(examples.batch(), {kNoise});
    for (int call = 0; call < 2; ++call) {  // eager, captured
      const std::vector<double> got = gpu.log_prob(examples.batch(), {kNoise});
      // Float networks: 1e-5 in s and t of each of some ten couplings, times up to 64 elements.
      for (int i = 0; i < examples.n; ++i) CHECK(std::abs(got[i] - want[i]) < 6e-3);
    }
  }
}

TEST_CASE("a flow's log-determinant is that of its Jacobian") {
  const FlowConfig config = any_config();
  INFO(title(config));
  Flow flow = random_flow(config, Device::kReference, DType::kF64);
  if (flow.dims() > 64) return;  // those in colour: as many passes as numbers
  change_parameters(flow.parameters(), "bias", [](double value) { return value + 0.3; });  // of one sign
  const FlowExamples examples(flow, 1);
  // Noise reaches a flow in float: these values and the step away from them are multiples of 2^-20 below 1, which float
  // holds exactly. A longer step would pass the kink of some ReLU.
  constexpr double kStep = 0x1p-20;
  std::vector<double> at(flow.dims());
  for (std::size_t i = 0; i < at.size(); ++i) at[i] = (20 + double(i * 7 % 24)) / 64;
  const auto with = [&](const std::vector<double>& values, const auto& call) {
    const std::vector<float> noise(values.begin(), values.end());
    Batch batch = examples.batch();
    batch.values = values.data();
    return call(batch, DequantizationNoise{{}, flow.takes_images() ? noise.data() : nullptr});
  };
  const auto latents = [&](const std::vector<double>& values) {
    return with(values,
                [&](Batch batch, DequantizationNoise noise) { return by_example(flow.encode(batch, noise), 1); });
  };
  const double log_prob =
      with(at, [&](Batch batch, DequantizationNoise noise) { return flow.log_prob(batch, noise).front(); });
  const std::vector<double> z = latents(at);
  const double logdet = log_prob - standard_normal_log_density(z.data(), z.size());
  CHECK(logdet == Approx(log_abs_det_jacobian(latents, at, kStep)).margin(kLogDetError).epsilon(0));
  CHECK(std::abs(logdet) > 1);
}

TEST_CASE("gradients reach every parameter of a flow") {
  const FlowConfig config = any_config();
  INFO(title(config));
  const Flow flow = random_flow(config, Device::kReference, DType::kF64);
  const FlowExamples examples(flow);
  Tape tape(Device::kReference);
  tape.start(true);
  const Flow::Pass pass = flow.forward(tape, examples.batch(), {kNoise}, DType::kF64, false);
  tape.backward(mean_negative_log_prob(tape, pass.log_prob, nats_per_bit_per_dim(flow.dims())));
  for (int i = 0; i < flow.parameters().count(); ++i) {
    const std::vector<double> gradient = to_doubles(flow.parameters().grad(i));
    INFO(flow.parameters()[i].name);
    CHECK(all_finite(gradient));
    CHECK(std::any_of(gradient.begin(), gradient.end(), [](double value) { return value != 0; }));
  }
}

TEST_CASE("the fast device gives the reference's likelihoods and latents") {
  const FlowConfig config = any_config();
  INFO(title(config));
  Flow fast = random_flow(config, Device::kCpu), reference = random_flow(config, Device::kReference);
  const FlowExamples examples(fast);
  // Errors of one layer, kFloatError, pass through up to twenty.
  CHECK(largest_difference(by_example(fast.encode(examples.batch(), {kNoise}), examples.n),
                           by_example(reference.encode(examples.batch(), {kNoise}), examples.n)) < 20 * kFloatError);
  const std::vector<double> want = reference.log_prob(examples.batch(), {kNoise});
  const std::vector<double> got = fast.log_prob(examples.batch(), {kNoise});
  for (int i = 0; i < examples.n; ++i) CHECK(got[i] == Approx(want[i]).epsilon(kFloatError));
}

TEST_CASE("an example's likelihood and latents do not depend on its batch, nor on the number of threads") {
  const FlowConfig config = any_config();
  INFO(title(config));
  Flow flow = random_flow(config, Device::kCpu);
  const FlowExamples examples(flow);
  const std::vector<double> together = flow.log_prob(examples.batch(), {kNoise});
  const std::vector<double> latents = by_example(flow.encode(examples.batch(), {kNoise}), examples.n);
  for (int i = 0; i < examples.n; ++i) {
    const Batch one = examples.one(flow, i);
    CHECK(flow.log_prob(one, {kNoise}).front() == together[i]);
    const std::vector<double> alone = by_example(flow.encode(one, {kNoise}), 1);
    CHECK(std::equal(alone.begin(), alone.end(), latents.begin() + i * alone.size()));
  }
  flow.set_inference_batch(2);
  CHECK(flow.log_prob(examples.batch(), {kNoise}) == together);
  for (const int threads : {1, 3}) {
    Flow other = random_flow(config, Device{.threads = threads});
    CHECK(other.log_prob(examples.batch(), {kNoise}) == together);
  }
}

TEST_CASE("the parts of a ledger add up to the score of every example") {
  const FlowConfig config = any_config();
  INFO(title(config));
  Flow flow = random_flow(config, Device::kCpu);
  const FlowExamples examples(flow);
  const std::vector<double> scores = flow.log_prob(examples.batch(), {kNoise});
  const std::vector<Flow::LedgerTerm> terms = flow.ledger(examples.batch(), {kNoise});
  CHECK(terms.front().name != terms.back().name);
  CHECK(terms.back().name == "base");
  for (std::size_t i = 0; i < scores.size(); ++i) {
    double sum = 0;
    for (const Flow::LedgerTerm& term : terms) {
      REQUIRE(term.nats.size() == scores.size());
      sum += term.nats[i];
    }
    // Differences of one running sum, which add up to its end but for a rounding of each.
    CHECK(std::abs(sum - scores[i]) < 1e-9 * std::max(1.0, std::abs(scores[i])));
  }
  for (const Flow::LedgerTerm& term : terms) {
    if (term.name != "quantisation") continue;
    CHECK(term.nats[0] == -double(flow.dims()) * std::log(double(flow.config().data().integer("levels"))));
  }
}

TEST_CASE("samples are finite examples that do not depend on their batch") {
  const FlowConfig config = any_config();
  INFO(title(config));
  Flow flow = random_flow(config, Device::kCpu);
  const auto sample = [&](SampleOptions options) {
    if (!flow.takes_images()) return flow.sample_numbers(options);
    const std::vector<std::uint8_t> pixels = flow.sample(options);
    CHECK(pixels == reduced(pixels, flow.config().data().integer("levels")));
    return std::vector<double>(pixels.begin(), pixels.end());
  };
  const std::vector<double> five = sample({.count = 5, .seed = 3});
  CHECK(five.size() == 5 * flow.dims());
  CHECK(all_finite(five));
  const std::vector<double> two = sample({.count = 2, .seed = 3, .first = 2});
  CHECK(std::equal(two.begin(), two.end(), five.begin() + 2 * flow.dims()));
}

TEST_CASE("the named models have the parameters and shapes of their papers") {
  struct Expected {
    std::string name;
    std::size_t parameters, layers;
    std::string latents;
  };
  const auto latents_of = [](const Flow& flow) {
    std::string text;
    for (const auto& [name, s] : flow.latent_shapes()) {
      text += (text.empty() ? "" : " ") + std::to_string(s.h) + "x" + std::to_string(s.w) + "x" + std::to_string(s.c);
    }
    return text;
  };
  // The tutorial's numbers are those that its authors print. The others are counted: the layers of an MLP; RealNVP's
  // net of width h for c channels, with its coupling's scaling factors and the batch norm behind it; Glow's step.
  const auto mlp = [](std::vector<std::size_t> widths) {
    std::size_t sum = 0;
    for (std::size_t i = 1; i < widths.size(); ++i) sum += (widths[i - 1] + 1) * widths[i];
    return sum;
  };
  const auto realnvp = [](std::size_t c, std::size_t h) {
    const auto conv = [](std::size_t in, std::size_t out, std::size_t taps) { return taps * in * out + 2 * out; };
    const std::size_t norm = 2 * h, block = 2 * (norm + conv(h, h, 9));
    return conv(c, h, 9) + 2 * block + norm + conv(h, 2 * c, 1) + c + 2 * c;
  };
  const auto glow = [](std::size_t c, std::size_t h) {
    const auto conv = [](std::size_t in, std::size_t out, std::size_t taps) { return taps * in * out + 2 * out; };
    return 2 * c + (2 * c * c + c) + c + conv(c, h, 9) + conv(h, h, 1) + conv(h, 2 * c, 9);
  };
  const std::size_t glow_prior = 9 * 4 * 8 + 2 * 8, glow_base = 2 * 392;
  const std::vector<Expected> all{
      {"simple", 556312, 8, "28x28x1"},
      {"vardeq", 628388, 8, "28x28x1"},
      {"multiscale", 1711818, 11, "14x14x2 7x7x8"},
      {"simple_2022", 335128, 8, "28x28x1"},
      {"vardeq_2022", 379556, 8, "28x28x1"},
      {"multiscale_2022", 1062090, 11, "14x14x2 7x7x8"},
      {"simple_jax", 556312, 8, "28x28x1"},
      {"vardeq_jax", 628388, 8, "28x28x1"},
      {"multiscale_jax", 1711818, 11, "14x14x2 7x7x8"},
      {"moons", 8 * 2 * mlp({2, 256, 256, 2}), 8, "1x1x2"},
      {"nice", 4 * mlp({784, 1000, 1000, 1000, 1000, 1000, 784}) + 784, 5, "1x1x784"},
      {"realnvp",
       3 * realnvp(1, 32) + 3 * realnvp(4, 48) + 3 * realnvp(2, 48) + 3 * realnvp(8, 64) + 4 * realnvp(4, 64), 36,
       "14x14x2 7x7x4 7x7x4"},
      {"glow", 16 * glow(4, 64) + glow_prior + 16 * glow(8, 64) + glow_base, 99, "14x14x2 7x7x8"},
  };
  CHECK(all.size() == FlowConfig::names().size());
  for (const Expected& expected : all) {
    INFO(expected.name);
    const Flow flow(FlowConfig::named(expected.name));
    CHECK(flow.parameters().element_count() == expected.parameters);
    CHECK(flow.layers().size() == expected.layers + 2);  // and the input and the base
    CHECK(latents_of(flow) == expected.latents);
    std::size_t sum = 0;
    for (const Flow::LayerInfo& layer : flow.layers()) sum += layer.parameters;
    CHECK(sum == expected.parameters);
  }
  // Images padded to 32 pixels can be halved three times.
  const Flow three(FlowConfig::named("glow").with("layers.0.repeat", "2").with_shape(32, 32, 1));
  CHECK(three.parameters().element_count() ==
        16 * (glow(4, 64) + glow(8, 64) + glow(16, 64)) + glow_prior + (9 * 8 * 16 + 2 * 16) + 2 * 256);
  CHECK(latents_of(three) == "16x16x2 8x8x4 4x4x16");
}

}  // namespace flowsmith::core::testing
