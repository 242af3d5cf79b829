// The contract of whole flows: images come back, log-determinants are right, every parameter learns, and neither the
// device nor the batch changes a result.
#include <catch2/catch.hpp>

#include "tests/support/bijector_suite.h"

namespace flowsmith::testing {
namespace {

constexpr NoiseStream kNoise{17, NoisePurpose::kScoring, 0};
constexpr int kImages = 3;

/// All models, for the smallest images with every tap of a 3x3 window in use and, if nothing is squeezed, odd sides:
/// the reference device is slow.
ModelSpec any_spec() {
  const auto architecture = GENERATE(Architecture::kSimple, Architecture::kVardeq, Architecture::kMultiscale);
  const int side = architecture == Architecture::kMultiscale ? 4 : 3;
  return {architecture, GENERATE(Edition::k2024, Edition::k2022), side, side};
}

Flow random_flow(const ModelSpec& spec, Device device, DType type) {
  Flow flow(spec, device, type);
  set_random_parameters(flow.parameters(), 7);
  return flow;
}

/// Images with black and white in them.
struct Images {
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint32_t> index;

  explicit Images(const Flow& flow) : pixels(kImages * flow.dims()), index{4, 1000, 31} {
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = std::uint8_t(i % 5 == 0 ? 255 * (i % 2) : 41 * i);
  }
  ImageBatch batch() const { return {pixels.data(), index.data(), kImages}; }
  ImageBatch one(int i) const { return {&pixels[i * pixels.size() / kImages], &index[i], 1}; }
};

std::vector<double> joined(const Latents& latents) {
  std::vector<double> all;
  for (const Latent& latent : latents) all.insert(all.end(), latent.values.begin(), latent.values.end());
  return all;
}

}  // namespace

TEST_CASE("images survive encode and decode on every device") {
  const ModelSpec spec = any_spec();
  for (const Device device : {Device::kCpu, Device::kReference}) {
    Flow flow = random_flow(spec, device, DType::kF32);
    const Images images(flow);
    CHECK(flow.decode(flow.encode(images.batch(), {kNoise}), kImages) == images.pixels);
  }
}

TEST_CASE("a flow's log-determinant is that of its Jacobian") {
  Flow flow = random_flow(any_spec(), Device::kReference, DType::kF64);
  std::vector<std::uint8_t> pixels(flow.dims());
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = std::uint8_t(40 + 11 * i);
  const std::uint32_t index = 0;
  const ImageBatch image{pixels.data(), &index, 1};
  // Noise reaches a flow in float: these values and the step away from them are multiples of 2^-16 below 1, which float
  // holds exactly.
  constexpr double kStep = 1.0 / 65536;
  std::vector<double> u(flow.dims());
  for (std::size_t i = 0; i < u.size(); ++i) u[i] = (20 + double(i * 7 % 24)) / 64;
  const auto with_noise = [](const std::vector<double>& values, const auto& call) {
    const std::vector<float> noise(values.begin(), values.end());
    return call(DequantizationNoise{{}, noise.data()});
  };
  const auto latents = [&](const std::vector<double>& at) {
    return with_noise(at, [&](DequantizationNoise noise) { return joined(flow.encode(image, noise)); });
  };
  const double log_prob = with_noise(u, [&](DequantizationNoise noise) { return flow.log_prob(image, noise).front(); });
  const std::vector<double> z = latents(u);
  const double logdet = log_prob - standard_normal_log_density(z.data(), z.size());
  CHECK(logdet == Approx(log_abs_det_jacobian(latents, u, kStep)).margin(kLogDetError).epsilon(0));
}

TEST_CASE("gradients reach every parameter of a flow") {
  const Flow flow = random_flow(any_spec(), Device::kReference, DType::kF64);
  const Images images(flow);
  Tape tape(Device::kReference);
  tape.start(true);
  const Flow::Pass pass = flow.forward(tape, images.batch(), {kNoise}, DType::kF64, false);
  tape.backward(mean_bits_per_dim(tape, pass.log_prob, flow.dims()));
  for (int i = 0; i < flow.parameters().count(); ++i) {
    const std::vector<double> gradient = to_doubles(flow.parameters().grad(i));
    INFO(flow.parameters()[i].name);
    CHECK(std::all_of(gradient.begin(), gradient.end(), [](double value) { return std::isfinite(value); }));
    CHECK(std::any_of(gradient.begin(), gradient.end(), [](double value) { return value != 0; }));
  }
}

TEST_CASE("the fast device gives the reference's likelihoods and latents") {
  const ModelSpec spec = any_spec();
  Flow fast = random_flow(spec, Device::kCpu, DType::kF32),
       reference = random_flow(spec, Device::kReference, DType::kF32);
  const Images images(fast);
  // Errors of one layer, kFloatError, pass through up to twelve.
  CHECK(largest_difference(joined(fast.encode(images.batch(), {kNoise})),
                           joined(reference.encode(images.batch(), {kNoise}))) < 12 * kFloatError);
  const std::vector<double> want = reference.log_prob(images.batch(), {kNoise});
  const std::vector<double> got = fast.log_prob(images.batch(), {kNoise});
  for (int i = 0; i < kImages; ++i) CHECK(got[i] == Approx(want[i]).epsilon(kFloatError));
}

TEST_CASE("an image's likelihood and latents do not depend on its batch") {
  Flow flow = random_flow(any_spec(), Device::kCpu, DType::kF32);
  const Images images(flow);
  const std::vector<double> together = flow.log_prob(images.batch(), {kNoise});
  const Latents latents = flow.encode(images.batch(), {kNoise});
  for (int i = 0; i < kImages; ++i) {
    CHECK(flow.log_prob(images.one(i), {kNoise}).front() == together[i]);
    const Latents alone = flow.encode(images.one(i), {kNoise});
    for (std::size_t k = 0; k < alone.size(); ++k) {
      const auto& values = alone[k].values;
      CHECK(std::equal(values.begin(), values.end(), latents[k].values.begin() + i * values.size()));
    }
  }
  flow.set_inference_batch(2);
  CHECK(flow.log_prob(images.batch(), {kNoise}) == together);
}

TEST_CASE("the models have the tutorial's numbers of parameters") {
  const auto count = [](Architecture architecture, Edition edition) {
    return Flow({architecture, edition}).parameters().element_count();
  };
  CHECK(count(Architecture::kSimple, Edition::k2024) == 556312);
  CHECK(count(Architecture::kVardeq, Edition::k2024) == 628388);
  CHECK(count(Architecture::kMultiscale, Edition::k2024) == 1711818);
  CHECK(count(Architecture::kSimple, Edition::k2022) == 335128);
  CHECK(count(Architecture::kVardeq, Edition::k2022) == 379556);
  CHECK(count(Architecture::kMultiscale, Edition::k2022) == 1062090);
}

}  // namespace flowsmith::testing
