#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "engine/adam.h"
#include "engine/device_memory.h"

using namespace flowsmith::core;

namespace {

constexpr int kOut = 2, kIn = 3, kKernel = 3;

/// A convolution weight (2,3,3,3) and a bias of 5.
Parameters two_parameters(Device device = Device::kCpu) {
  Parameters parameters(device, DType::kF32);
  parameters.add("w", {kOut, kIn, kKernel, kKernel}, ParameterLayout::kConvWeight, {0, 0.5});
  parameters.add("b", {5}, ParameterLayout::kPlain, {1, 0});
  parameters.allocate();
  return parameters;
}

}  // namespace

TEST_CASE("parameters lie one behind the other, aligned, and padding stays zero") {
  Parameters parameters = two_parameters();
  CHECK(parameters.element_count() == 54 + 5);
  CHECK(parameters[1].offset == 64);
  parameters.initialize(7);
  const float* const span = parameters.values().data<float>();
  for (std::size_t i = 54; i < 64; ++i) CHECK(span[i] == 0);
  for (int i = 0; i < 5; ++i) CHECK(span[64 + i] == 1);
  CHECK_THROWS_AS(parameters.add("late", {1}, ParameterLayout::kPlain, {}), Error);
}

TEST_CASE("a convolution weight is OIHW in files and [ky][kx][in][out] in memory") {
  const Parameters parameters = two_parameters();
  std::vector<float> file(54), back(54);
  for (int e = 0; e < 54; ++e) file[e] = float(e);
  parameters.from_file_order(parameters.values(), 0, file.data());
  const float* const memory = parameters.value(0).data<float>();
  for (int o = 0; o < kOut; ++o) {
    for (int i = 0; i < kIn; ++i) {
      for (int ky = 0; ky < kKernel; ++ky) {
        for (int kx = 0; kx < kKernel; ++kx) {
          CHECK(memory[((ky * kKernel + kx) * kIn + i) * kOut + o] ==
                file[((o * kIn + i) * kKernel + ky) * kKernel + kx]);
        }
      }
    }
  }
  parameters.to_file_order(parameters.values(), 0, back.data());
  CHECK(back == file);
}

TEST_CASE("a linear weight is [out][in] in files and [in][out] in memory") {
  Parameters parameters(Device::kCpu, DType::kF32);
  parameters.add("bias in front", {3}, ParameterLayout::kPlain, {});
  const int weight = parameters.add("w", {kOut, kIn}, ParameterLayout::kLinearWeight, {});
  parameters.allocate();
  CHECK(parameters[weight].shape == Shape{kIn, kOut});
  const std::vector<float> file{0, 1, 2, 3, 4, 5};
  parameters.from_file_order(parameters.values(), weight, file.data());
  const float* const memory = parameters.value(weight).data<float>();
  CHECK(std::vector<float>(memory, memory + 6) == std::vector<float>{0, 3, 1, 4, 2, 5});
  std::vector<float> back(6);
  parameters.to_file_order(parameters.values(), weight, back.data());
  CHECK(back == file);
  Parameters wrong(Device::kCpu, DType::kF32);
  CHECK_THROWS_AS(wrong.add("w", {6}, ParameterLayout::kLinearWeight, {}), Error);
}

TEST_CASE("a state is kept in double beside the parameters, and starts as its function says") {
  Parameters parameters(Device::kCpu, DType::kF32);
  parameters.add("w", {3}, ParameterLayout::kPlain, {2, 0});
  const int mean =
      parameters.add_state("mean", {5}, [](std::uint64_t seed) { return std::vector<double>(5, 0.1 * double(seed)); });
  parameters.allocate();
  parameters.initialize(3);
  CHECK(parameters.element_count() == 3);
  CHECK(parameters.state_count() == 1);
  CHECK(parameters.state(mean).name == "mean");
  CHECK(download<double>(Device::kCpu, parameters.state_values(mean)) == std::vector<double>(5, 0.1 * 3.0));
  parameters.set_state(mean, {1, 2, 3, 4, 5});
  CHECK(download<double>(Device::kCpu, parameters.state_values(mean)) == std::vector<double>{1, 2, 3, 4, 5});
  CHECK_THROWS_AS(parameters.set_state(mean, {1}), Error);
}

TEST_CASE("initial values may be given by a function, and matrices keep their shape") {
  Parameters parameters(Device::kCpu, DType::kF32);
  const int w =
      parameters.add("w", {2, 3}, ParameterLayout::kMatrix,
                     {0, 0, [](std::uint64_t seed) { return std::vector<double>{double(seed), 1, 2, 3, 4, 5}; }});
  parameters.allocate();
  parameters.initialize(9);
  CHECK(parameters.value(w).shape() == Shape{2, 3});
  CHECK(to_doubles(parameters.value(w)) == std::vector<double>{9, 1, 2, 3, 4, 5});
}

TEST_CASE("parameters that would not fit an int are refused") {
  Parameters parameters(Device::kCpu, DType::kF32);
  CHECK_THROWS_AS(parameters.add("w", {1 << 16, 1 << 16}, ParameterLayout::kPlain, {}), Error);
}

TEST_CASE("initial weights follow the seed, the bound and the stream of their number") {
  Parameters a = two_parameters(), b = two_parameters(), c = two_parameters();
  a.initialize(7);
  b.initialize(7);
  c.initialize(8);
  std::vector<float> va(54), vb(54), vc(54);
  a.to_file_order(a.values(), 0, va.data());
  b.to_file_order(b.values(), 0, vb.data());
  c.to_file_order(c.values(), 0, vc.data());
  CHECK(va == vb);
  CHECK(va != vc);
  const PhiloxCounter words = noise_words({7, NoisePurpose::kWeights, 0}, 0, 1);
  CHECK(va[6] == (2 * word_to_uniform(words[2]) - 1) * 0.5f);  // element 6: group 1, word 2
  for (const float v : va) CHECK(std::abs(v) <= 0.5f);
}

/// Adam with these gradients, and a loss in the memory of the device.
struct AdamRun {
  AdamRun(Device device, const std::vector<float>& gradients)
      : parameters(two_parameters(device)), adam(parameters), arena(device), loss(arena.tensor(DType::kF64, Shape{})) {
    parameters.initialize(1);
    upload(device, parameters.grads(), gradients.data());
  }
  std::vector<float> values() const { return download<float>(parameters.device(), parameters.values()); }
  /// Returns the norm.
  double step(std::int64_t number, double loss_value, double max_norm, AdamOptions options) {
    upload(parameters.device(), loss, &loss_value);
    adam.prepare(number, options, max_norm);
    adam.step(loss);
    return std::sqrt(download<double>(parameters.device(), adam.squared_norm())[0]);
  }

  Parameters parameters;
  Adam adam;
  Arena arena;
  Tensor loss;
};

std::vector<float> bias_gradients() {
  std::vector<float> gradients(80);
  for (int i = 0; i < 5; ++i) gradients[64 + i] = i % 2 ? 3.0f : -4.0f;
  return gradients;
}

TEST_CASE("Adam over the span: the first step moves every parameter by lr against its gradient") {
  const Device device = GENERATE(Device::kCpu, Device::kReference, Device::kEmulated);
  const bool clip = GENERATE(false, true);  // a factor on all gradients changes nothing in the first step
  AdamRun run(device, bias_gradients());
  const double norm = run.step(1, 1.5, clip ? 1 : 0, {.lr = 0.1});
  CHECK(norm == Approx(std::sqrt(3 * 16 + 2 * 9.0)).epsilon(1e-12));  // five squares, summed in double
  const std::vector<float> span = run.values();
  // m/sqrt(v) is exactly +-1 in the first step; eps is 1e-8 of the gradient: one float rounding is left.
  for (int i = 0; i < 5; ++i) CHECK(span[64 + i] == Approx(i % 2 ? 0.9 : 1.1).epsilon(2e-7));
  for (std::size_t i = 54; i < 64; ++i) CHECK(span[i] == 0);
}

TEST_CASE("Adam changes nothing for a loss or a gradient that is not finite") {
  const Device device = GENERATE(Device::kCpu, Device::kReference, Device::kEmulated);
  std::vector<float> gradients = bias_gradients();
  double loss = 1;
  SECTION("gradient") { gradients[3] = std::numeric_limits<float>::quiet_NaN(); }
  SECTION("loss") { loss = std::numeric_limits<double>::infinity(); }
  AdamRun run(device, gradients);
  const std::vector<float> before = run.values();
  const double norm = run.step(1, loss, 1, {});
  CHECK(std::isfinite(norm) == std::isinf(loss));
  upload(device, run.parameters.grads(), bias_gradients().data());
  run.step(2, 1.0, 1, {});  // nothing wrong with this one, but that the one before it was not taken
  CHECK(run.values() == before);
  for (const Tensor& moment : {run.adam.first_moment(), run.adam.second_moment()}) {
    for (const float value : download<float>(device, moment)) CHECK(value == 0);
  }
}
