// Philox against its published known answers, and what the noise streams promise.
#include "kernels/noise.h"
#include "kernels/noise_math.h"
#include "tests/support/kernel_testing.h"

namespace flowsmith::core::testing {
namespace {

// The known answers that the authors of Philox publish with their Random123 library.
TEST_CASE("philox4x32_10 gives the published known answers") {
  CHECK(philox4x32_10({0, 0, 0, 0}, {0, 0}) == PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint32_t ones = 0xffffffff;
  CHECK(philox4x32_10({ones, ones, ones, ones}, {ones, ones}) ==
        PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("noise_words puts image, group, draw and purpose in the counter and the seed in the key") {
  const NoiseStream stream{0x299f31d0a4093822ull, NoisePurpose::kPrior, 7};
  CHECK(noise_words(stream, 5, 6) == philox4x32_10({5, 6, 7, 4}, {0xa4093822, 0x299f31d0}));
}

TEST_CASE("word_to_uniform stays inside (0, 1), and floor(pixel + u) is the pixel") {
  CHECK(word_to_uniform(0) == std::ldexp(1.0f, -24));
  CHECK(word_to_uniform(0xffffffff) == 1 - std::ldexp(1.0f, -24));
  for (std::uint32_t word : {0u, 0x1ffu, 0x200u, 0x80000000u, 0xffffffffu}) {
    for (int pixel = 0; pixel < 256; ++pixel) CHECK(std::floor(pixel + double(word_to_uniform(word))) == pixel);
  }
}

TEST_CASE("box_muller gives the pair of its formula") {
  // u1 = (2^22 + 0.5) / 2^23, u2 = (2^21 + 0.5) / 2^23, evaluated apart from this code.
  const NormalPair pair = box_muller(0x80000000, 0x40000000);
  CHECK(pair.first == Approx(-4.409482906070539e-07).epsilon(1e-8));  // cos near its zero: 8 digits are left
  CHECK(pair.second == Approx(1.1774099212683453).epsilon(1e-14));
  const double largest = std::sqrt(48 * std::log(2.0));  // u1 = 2^-24
  CHECK(std::hypot(box_muller(0, 0).first, box_muller(0, 0).second) == Approx(largest).epsilon(1e-14));
}

template <class T>
std::vector<T> uniform(const std::vector<std::uint32_t>& index, NoiseStream stream, std::size_t per_image) {
  std::vector<T> u(index.size() * per_image);
  uniform_noise(u.data(), index.data(), &stream, int(index.size()), per_image, Reference{});
  return u;
}

TEST_CASE("the noise of an image depends on its index alone, not on its batch") {
  const NoiseStream stream{11, NoisePurpose::kTraining, 2};
  const std::size_t per_image = 31;
  const std::vector<float> alone = uniform<float>({60000}, stream, per_image);
  const std::vector<float> batch = uniform<float>({3, 60000, 0}, stream, per_image);
  CHECK(same_bits(alone, {batch.begin() + 31, batch.begin() + 62}));

  const std::vector<float> longer = uniform<float>({60000}, stream, 257);
  CHECK(same_bits(alone, {longer.begin(), longer.begin() + 31}));
  const std::vector<double> in_double = uniform<double>({60000}, stream, per_image);
  CHECK(in_double == std::vector<double>(alone.begin(), alone.end()));
}

TEST_CASE("seed, purpose, draw and image each select another stream") {
  const auto first = [](NoiseStream stream, std::uint32_t image) { return uniform<float>({image}, stream, 3); };
  const NoiseStream stream{11, NoisePurpose::kTraining, 2};
  const std::vector<float> base = first(stream, 1);
  CHECK(base == first(stream, 1));
  CHECK(base != first(stream, 2));
  CHECK(base != first({12, NoisePurpose::kTraining, 2}, 1));
  CHECK(base != first({11 + (1ull << 32), NoisePurpose::kTraining, 2}, 1));
  CHECK(base != first({11, NoisePurpose::kScoring, 2}, 1));
  CHECK(base != first({11, NoisePurpose::kTraining, 3}, 1));
}

TEST_CASE("noise has the moments of its distribution") {
  const std::size_t size = 200001;
  const double root = std::sqrt(double(size));
  double mean = 0, square = 0;
  for (double u : random_uniform<double>(size, 5)) {
    mean += u / size;
    square += (u - 0.5) * (u - 0.5) / size;
  }
  // Five standard errors: sd of u is sqrt(1/12), sd of (u - 1/2)^2 is sqrt(1/180).
  CHECK(std::abs(mean - 0.5) < 5 * std::sqrt(1 / 12.0) / root);
  CHECK(std::abs(square - 1 / 12.0) < 5 * std::sqrt(1 / 180.0) / root);

  const std::vector<double> z = random_normal<double>(size, 5, 2);
  double first = 0, second = 0, fourth = 0, neighbours = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const double x = z[i] / 2;
    first += x / size;
    second += x * x / size;
    fourth += x * x * x * x / size;
    neighbours += x * z[(i + 1) % size] / 2 / size;
  }
  // Five standard errors: the moments 1, 2 and 4 of N(0,1) have sd 1, sqrt(2) and sqrt(96), a product sd 1.
  CHECK(std::abs(first) < 5 / root);
  CHECK(std::abs(second - 1) < 5 * std::sqrt(2.0) / root);
  CHECK(std::abs(fourth - 3) < 5 * std::sqrt(96.0) / root);
  CHECK(std::abs(neighbours) < 5 / root);
}

TEMPLATE_TEST_CASE("cpu noise is the reference's, bit for bit", "", float, double) {
  const NoiseStream stream{77, NoisePurpose::kScoring, 3};
  for (auto [n, per_image] : {std::pair{1, 1}, {3, 31}, {31, 3}, {257, 257}}) {
    std::vector<std::uint32_t> index(n);
    for (int i = 0; i < n; ++i) index[i] = std::uint32_t(i * 7919);
    const auto run = [&, images = n, size = per_image](auto backend) {
      std::vector<TestType> u(images * size), z(images * size);
      uniform_noise(u.data(), index.data(), &stream, images, size, backend);
      normal_noise(z.data(), index.data(), &stream, 0.7, images, size, backend);
      return outputs(u, z);
    };
    check_cpu(run, 0);  // one inline function makes every element
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
