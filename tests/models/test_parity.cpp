// Five training steps of every model against PyTorch, and of the JAX edition against JAX: tests/fixtures/README.md.
#include <cmath>

#include "models/files/weights.h"
#include "models/interchange/parity.h"
#include "tests/support/error_of.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;
using testing::relative_error;

constexpr std::uint64_t kSeed = 1234;
constexpr std::size_t kStride = 97;

// Float32 rounding alone moves PyTorch by the figures of the README's table: up to 3.1e-7 for log-likelihoods, losses
// and norms of gradients, 4.8e-7 for latents, and JAX by up to 6.4e-7. Two such trajectories differ by about twice
// that; this is three to six times.
constexpr double kTrajectory = 2e-6;
// Single tensors of trained weights move by up to 2.8e-6, their norms by 3.1e-7: Adam divides by the root of tiny
// second moments. An update that is 1% wrong changes the weights by 5e-4.
constexpr double kWeights = 1e-5;
constexpr double kNorms = 2e-6;

/// Element e of the parameter p, in file order: the formula of the README.
std::vector<float> initial_values(const Parameters& parameters, int p) {
  const std::string& name = parameters[p].name;
  const std::string kind = name.substr(name.rfind('.') + 1);
  const auto weight_shape = [&] { return kind == "bias" ? parameters[p - 1].file_shape : parameters[p].file_shape; };
  float centre = 0, spread = 0.1f;
  if (kind == "gamma" || name.ends_with("layer_norm.weight")) {
    centre = 1;
  } else if (name.find(".nn.8.") != std::string::npos) {  // the last convolution of a network
    spread = 0.02f;
  } else if (kind != "beta" && kind != "scaling_factor" && name.find("layer_norm") == std::string::npos) {
    const auto shape = weight_shape();
    spread = float(1 / std::sqrt(double(shape[1] * shape[2] * shape[3])));
  }
  std::vector<float> values(parameters[p].shape.size());
  for (std::size_t e = 0; e < values.size(); ++e) {
    const PhiloxCounter words = philox4x32_10({0, std::uint32_t(e / 4), std::uint32_t(p), 6}, {kSeed, 0});
    const float u = (float(words[e % 4] >> 9) + 0.5f) * (1.0f / 8388608.0f);
    values[e] = centre + spread * (2 * u - 1);
  }
  return values;
}

std::string fixture_path(const std::string& model, const std::string& edition) {
  return std::string(FLOWSMITH_SOURCE_DIR) + "/tests/fixtures/parity_" + model + "_" + edition + ".safetensors";
}

/// The fixture's inputs and the weights before the first step.
SafetensorsFile replay_input(const SafetensorsFile& fixture) {
  SafetensorsFile input{fixture.metadata, {*fixture.find("images"), *fixture.find("noise")}};
  const Flow flow(tutorial(fixture.metadata.at("model"), fixture.metadata.at("edition")));
  for (int p = 0; p < flow.parameters().count(); ++p) {
    const Parameter& parameter = flow.parameters()[p];
    const std::vector<float> values = initial_values(flow.parameters(), p);
    input.tensors.push_back(NamedTensor::of<float>(parameter.name, parameter.file_shape, values));
  }
  return input;
}

template <class T = float>
std::vector<double> values_of(const NamedTensor& tensor) {
  const std::span<const T> values = tensor.as<T>();
  return {values.begin(), values.end()};
}

void check_trained_weights(const SafetensorsFile& result, const SafetensorsFile& fixture) {
  int compared = 0;
  for (const NamedTensor& expected : fixture.tensors) {
    if (!expected.name.starts_with("after.")) continue;
    const std::string name = expected.name.substr(6);
    INFO(name);
    REQUIRE(result.find(name) != nullptr);
    const std::vector<double> trained = values_of(*result.find(name));
    std::vector<double> some;
    for (std::size_t e = 0; e < trained.size(); e += kStride) some.push_back(trained[e]);
    CHECK(relative_error(some, values_of(expected)) < kWeights);
    const double norm = std::sqrt(testing::dot(trained, trained));
    CHECK(relative_error(std::vector{norm}, values_of<double>(*fixture.find("norm." + name))) < kNorms);
    ++compared;
  }
  CHECK(compared == int(result.tensors.size()) - 4);  // every parameter; the others are the four of the trajectory
}

TEST_CASE("five training steps are those of PyTorch and of JAX", "[parity][long]") {
  const std::string model = GENERATE("simple", "vardeq", "multiscale"), edition = GENERATE("2024", "2022", "jax");
  INFO(model << " " << edition);
  const std::string path = fixture_path(model, edition);
  const SafetensorsFile fixture = read_safetensors(path);
  std::vector<int> progress;
  const SafetensorsFile result = replay(replay_input(fixture), path, Device::kCpu, [&](int done, int steps) {
    CHECK(steps == 5);
    progress.push_back(done);
  });
  CHECK(progress == std::vector{1, 2, 3, 4, 5});
  for (const char* const name : {"log_prob", "loss", "grad_norm", "z.final"}) {
    INFO(name);
    REQUIRE(result.find(name) != nullptr);
    CHECK(result.find(name)->shape == fixture.find(name)->shape);
    CHECK(relative_error(values_of(*result.find(name)), values_of(*fixture.find(name))) < kTrajectory);
  }
  check_trained_weights(result, fixture);
}

TEST_CASE("a replay refuses inputs that it cannot follow", "[parity]") {
  const std::string path = fixture_path("simple", "2024");
  const SafetensorsFile good = replay_input(read_safetensors(path));
  const auto complaint = [&](auto&& damage) {
    SafetensorsFile input = good;
    damage(input);
    const std::string message =
        error_of([&] { replay(input, "in.safetensors", Device::kCpu, [](int, int) { FAIL("a step was run"); }); });
    CHECK_THAT(message, Contains("in.safetensors"));
    return message;
  };
  for (const std::string key : {"lr", "clip_norm"}) {
    CHECK_THAT(complaint([&](SafetensorsFile& f) { f.metadata.erase(key); }), Contains("'" + key + "' is missing"));
  }
  for (const char* const text : {"fast", "1e-3x", "nan", "", "inf"}) {
    CHECK_THAT(complaint([&](SafetensorsFile& f) { f.metadata["lr"] = text; }), Contains("'lr' is not a number"));
  }
  CHECK_THAT(complaint([](SafetensorsFile& f) { f.metadata["model"] = "vardeq"; }), Contains("flows.0.flows.0."));
  CHECK_THAT(complaint([](SafetensorsFile& f) { f.tensors.erase(f.tensors.begin()); }), Contains("images is missing"));
  CHECK_THAT(complaint([](SafetensorsFile& f) { f.tensors.pop_back(); }), Contains("flows.8.network.nn.8.bias"));
  CHECK_THAT(complaint([](SafetensorsFile& f) { f.tensors[0].shape = {5, 4, 28, 28, 1}; }), Contains("tensor images"));
  CHECK_THAT(complaint([](SafetensorsFile& f) { f.tensors[1].dtype = "I32"; }), Contains("tensor noise"));
  CHECK_THAT(complaint([](SafetensorsFile& f) {
               f.tensors[1].shape = {4, 5, 1, 28, 28};
             }),
             Contains("differ in shape"));
  for (const float outside : {-0.01f, 1.01f, std::nanf("")}) {
    CHECK_THAT(complaint([&](SafetensorsFile& f) {
                 const std::vector<float> noise(5 * 4 * 784, outside);
                 f.tensors[1] = NamedTensor::of<float>("noise", {5, 4, 1, 28, 28}, noise);
               }),
               Contains("outside [0, 1]"));
  }
}

}  // namespace
}  // namespace flowsmith::core
