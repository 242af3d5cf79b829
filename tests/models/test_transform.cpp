// The layers of a flow as a function on arrays, and flows of numbers.
#include <cmath>

#include "tests/support/error_of.h"
#include "tests/support/jacobian.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/tiny_dataset.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;
using testing::same_bits;

constexpr int kCount = 5;
constexpr NoiseStream kNoise{11, NoisePurpose::kScoring, 0};

/// The same sums of log-scales in both directions; z rounds at 1e-16 in each of up to eight couplings and is scaled by
/// the next.
constexpr double kRoundTripError = 1e-11;

double log_density(const double* z, std::size_t size) {
  double sum = -double(size) * std::log(2 * M_PI) / 2;
  for (std::size_t i = 0; i < size; ++i) sum -= z[i] * z[i] / 2;
  return sum;
}

/// All latents of an example one after the other, as transform() has them.
std::vector<double> by_example(const Latents& latents, int n) {
  std::vector<double> all;
  for (int i = 0; i < n; ++i) {
    for (const Latent& z : latents) {
      const std::size_t size = z.values.size() / n;
      all.insert(all.end(), z.values.begin() + i * size, z.values.begin() + (i + 1) * size);
    }
  }
  return all;
}

/// The inverse of by_example() for latents of the flow's shapes.
Latents latents_of(const Flow& flow, const std::vector<double>& values, int n) {
  Latents latents;
  std::size_t offset = 0;
  for (const auto& [name, s] : flow.latent_shapes()) {
    latents.push_back({name, s.h, s.w, s.c, {}});
    for (int i = 0; i < n; ++i) {
      const auto begin = values.begin() + i * flow.dims() + offset;
      latents.back().values.insert(latents.back().values.end(), begin, begin + s.size());
    }
    offset += s.size();
  }
  return latents;
}

/// The dequantization of a flow alone: its latent is what the flow's layers are given.
Flow dequantization_of(const Flow& flow) {
  Flow front(flow.config().with("layers", "[]"));
  const Parameters &all = flow.parameters(), &some = front.parameters();
  for (int i = 0; i < some.count(); ++i) {
    int k = 0;
    while (all[k].name != some[i].name) ++k;
    upload(front.device(), some.value(i), all.value(k).data<float>());
  }
  return front;
}

/// Gives most log-scales one sign, so that log-determinants do not cancel.
void shift_biases(Flow& flow, float shift) {
  for (int i = 0; i < flow.parameters().count(); ++i) {
    if (!flow.parameters()[i].name.ends_with(".bias")) continue;
    const Tensor bias = flow.parameters().value(i);
    for (std::size_t e = 0; e < bias.size(); ++e) bias.data<float>()[e] += shift;
  }
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

TEST_CASE("the transform of a flow is what stands between its dequantization and its base", "[transform]") {
  const std::string model = GENERATE("simple", "vardeq", "multiscale"), edition = GENERATE("2024", "2022");
  INFO(model << " " << edition);
  Flow flow(tutorial(model, edition, 8, 12));
  randomize(flow, 21);
  shift_biases(flow, 0.5f);
  const std::size_t dims = flow.dims();
  const std::vector<std::uint8_t> pixels = testing::random_bytes(kCount * dims, 17);
  const std::vector<std::uint32_t> index{4, 1000, 31, 5, 0};
  const Batch batch{pixels.data(), index.data(), kCount};
  Flow front = dequantization_of(flow);
  const std::vector<double> x = by_example(front.encode(batch, {kNoise}), kCount);
  const std::vector<double> z = by_example(flow.encode(batch, {kNoise}), kCount);

  const Transformed forward = flow.transform(x, kCount);
  CHECK(same_bits(forward.values, z));
  const std::vector<double> log_prob = flow.log_prob(batch, {kNoise}), of_front = front.log_prob(batch, {kNoise});
  for (int i = 0; i < kCount; ++i) {
    const double dequantization = of_front[i] - log_density(&x[i * dims], dims);
    const double logdet = log_prob[i] - log_density(&z[i * dims], dims) - dequantization;
    // Differences of numbers of some hundreds, which round at 1e-13.
    CHECK(forward.logdet[i] == Approx(logdet).margin(1e-10).epsilon(0));
    CHECK(std::abs(forward.logdet[i]) > 1);
  }

  const Transformed inverse = flow.inverse_transform(z, kCount);
  CHECK(largest_difference(inverse.values, x) < kRoundTripError);
  for (int i = 0; i < kCount; ++i) {
    CHECK(inverse.logdet[i] == Approx(-forward.logdet[i]).margin(kRoundTripError).epsilon(0));
  }
  CHECK(front.decode(latents_of(front, inverse.values, kCount), kCount) == pixels);
  CHECK(flow.decode(latents_of(flow, forward.values, kCount), kCount) == pixels);

  for (const int piece : {1, 2, 5}) {
    flow.set_inference_batch(piece);
    CHECK(same_bits(flow.transform(x, kCount).values, forward.values));
    CHECK(same_bits(flow.transform(x, kCount).logdet, forward.logdet));
    CHECK(same_bits(flow.inverse_transform(z, kCount).values, inverse.values));
    CHECK(same_bits(flow.inverse_transform(z, kCount).logdet, inverse.logdet));
  }
}

TEST_CASE("transforms of nothing are nothing, and of another number of values an error", "[transform]") {
  Flow flow(tutorial("multiscale", "2024", 4, 4));
  randomize(flow, 21);
  CHECK(flow.transform({}, 0).values.empty());
  CHECK(flow.inverse_transform({}, 0).logdet.empty());
  const std::vector<double> values(2 * flow.dims());
  CHECK(flow.transform(values, 2).logdet.size() == 2);
  for (const int n : {-1, 0, 1, 3}) {
    CHECK_THAT(error_of([&] { flow.transform(values, n); }), Contains("number of values"));
    CHECK_THAT(error_of([&] { flow.inverse_transform(values, n); }), Contains("number of values"));
  }
}

TEST_CASE("a flow without layers leaves numbers as they are", "[transform]") {
  Flow flow(FlowConfig::parse(R"({"data": {"type": "vector", "dims": 3}, "layers": []})", "here"));
  const std::vector<double> x{0.5, -2, 1e4, 3, 0, -1e-3};
  CHECK(flow.transform(x, 2).values == x);
  CHECK(flow.inverse_transform(x, 2).values == x);
  const std::vector<std::uint32_t> index{0, 1};
  const std::vector<double> log_prob = flow.log_prob({.index = index.data(), .n = 2, .values = x.data()}, {kNoise});
  for (int i = 0; i < 2; ++i) CHECK(log_prob[i] == Approx(log_density(&x[3 * i], 3)).epsilon(1e-14));
}

/// Numbers of 2 x 4 pixels of 3 channels, with a split on the way.
Flow number_flow(Device device = Device::kCpu) {
  const std::string coupling = R"({"type": "coupling", "mask": "channel", "repeat": 2, "alternate": true,
      "transformer": {"type": "affine", "order": "shift_first"},
      "conditioner": {"type": "gated_resnet", "hidden": 5, "blocks": 1}})";
  Flow flow(FlowConfig::parse(R"({"data": {"type": "map", "height": 2, "width": 4, "channels": 3}, "layers": [)" +
                                  coupling + R"(, "split", "squeeze", )" + coupling + "]}",
                              "here"),
            device);
  randomize(flow, 8);
  return flow;
}

TEST_CASE("a flow of numbers scores them by its transform and its base, and gives them back", "[transform]") {
  Flow flow = number_flow();
  CHECK_FALSE(flow.takes_images());
  CHECK(flow.unit() == "nats");
  CHECK(flow.nats_per_unit() == 1);
  std::vector<double> x = testing::random_normal<double>(kCount * flow.dims(), 3);
  const std::vector<std::uint32_t> index{4, 1000, 31, 5, 0};
  const Batch batch{.index = index.data(), .n = kCount, .values = x.data()};
  const std::vector<double> before = x;

  const std::vector<double> log_prob = flow.log_prob(batch, {kNoise});
  CHECK(same_bits(flow.log_prob(batch, {{99, NoisePurpose::kTraining, 3}}), log_prob));  // there is no noise
  const Latents latents = flow.encode(batch, {kNoise});
  const std::vector<double> z = by_example(latents, kCount);
  const Transformed forward = flow.transform(x, kCount);
  CHECK(same_bits(forward.values, z));
  const auto latents_at = [&](const std::vector<double>& at) { return flow.transform(at, 1).values; };
  for (int i = 0; i < kCount; ++i) {
    const double density = log_density(&z[i * flow.dims()], flow.dims());
    CHECK(log_prob[i] == Approx(forward.logdet[i] + density).epsilon(1e-13));
    const std::vector<double> one(x.begin() + i * flow.dims(), x.begin() + (i + 1) * flow.dims());
    // The network is float: a step so large that its roundings, 1e-7, do not show; derivatives are of order 1.
    CHECK(forward.logdet[i] == Approx(testing::log_abs_det_jacobian(latents_at, one, 1e-2)).margin(2e-2).epsilon(0));
  }
  CHECK(largest_difference(flow.decode_numbers(latents, kCount), x) < kRoundTripError);
  CHECK(largest_difference(flow.inverse_transform(z, kCount).values, x) < kRoundTripError);
  CHECK(same_bits(x, before));  // layers work in place, but not on what they are given

  flow.set_inference_batch(2);
  CHECK(same_bits(flow.log_prob(batch, {kNoise}), log_prob));
  CHECK(same_bits(by_example(flow.encode(batch, {kNoise}), kCount), z));
  const std::vector<double> seven = flow.sample_numbers({.count = 7, .seed = 5});
  REQUIRE(seven.size() == 7 * flow.dims());
  CHECK(same_bits(flow.sample_numbers({.count = 3, .seed = 5, .first = 2}),
                  {seven.begin() + 2 * flow.dims(), seven.begin() + 5 * flow.dims()}));
  CHECK(flow.sample_numbers({.count = 7, .seed = 6}) != seven);
}

TEST_CASE("a flow of numbers on the GPU's kernels is that of the host", "[transform][gpu]") {
  Flow host = number_flow(), gpu = number_flow(Device::kEmulated);
  gpu.set_inference_batch(2);  // pieces of 2 and 1
  const std::vector<double> x = testing::random_normal<double>(kCount * host.dims(), 3);
  const std::vector<std::uint32_t> index{4, 1000, 31, 5, 0};
  const Batch batch{.index = index.data(), .n = kCount, .values = x.data()};
  // Float networks: 1e-5 in s and t of each of four couplings, times 24 numbers.
  constexpr double kBound = 1e-3;
  const Transformed want = host.transform(x, kCount);
  for (int call = 0; call < 3; ++call) {  // eager, captured, replayed
    CHECK(largest_difference(gpu.log_prob(batch, {kNoise}), host.log_prob(batch, {kNoise})) < kBound);
    const Transformed got = gpu.transform(x, kCount);
    CHECK(largest_difference(got.values, want.values) < kBound);
    CHECK(largest_difference(got.logdet, want.logdet) < kBound);
    CHECK(largest_difference(gpu.inverse_transform(got.values, kCount).values, x) < kRoundTripError);
    CHECK(largest_difference(gpu.decode_numbers(gpu.encode(batch, {kNoise}), kCount), x) < kRoundTripError);
    CHECK(largest_difference(gpu.sample_numbers({.count = 3, .seed = 3}),
                             host.sample_numbers({.count = 3, .seed = 3})) < kBound);
  }
}

TEST_CASE("images and numbers are not taken for each other", "[transform]") {
  Flow numbers = number_flow(), images(tutorial("simple", "2024", 3, 3));
  const std::vector<std::uint8_t> pixels(24);
  const std::vector<double> values(24);
  const std::uint32_t index = 3;
  CHECK_THAT(error_of([&] { numbers.log_prob({pixels.data(), &index, 1}, {kNoise}); }), Contains("takes numbers"));
  CHECK_THAT(error_of([&] { images.log_prob({.index = &index, .n = 1, .values = values.data()}, {kNoise}); }),
             Contains("takes 8-bit images"));
  CHECK_THAT(error_of([&] { numbers.decode({}, 0); }), Contains("takes numbers"));
  CHECK_THAT(error_of([&] { numbers.sample({.count = 1}); }), Contains("takes numbers"));
  CHECK_THAT(error_of([&] { images.decode_numbers({}, 0); }), Contains("takes 8-bit images"));
  CHECK_THAT(error_of([&] { images.sample_numbers({.count = 1}); }), Contains("takes 8-bit images"));
  for (const int n : {-1, -1000000}) {
    CHECK_THAT(error_of([&] { images.decode({}, n); }), Contains("negative"));
    CHECK_THAT(error_of([&] { numbers.decode_numbers({}, n); }), Contains("negative"));
    CHECK_THAT(error_of([&] { numbers.sample_numbers({.count = n}); }), Contains("negative"));
  }
  std::vector<double> x(24, 0.5);
  x[7] = NAN;
  const auto where = numbers.find_non_finite({.index = &index, .n = 1, .values = x.data()}, {kNoise}, DType::kF64);
  REQUIRE(where);
  CHECK_THAT(*where, Contains("layer flows.0 (") && Contains("row 3"));
}

}  // namespace
}  // namespace flowsmith::core
