// Whole flows: what goes in comes out, and nothing depends on batches or threads.
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/support/error_of.h"
#include "tests/support/flow_examples.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/tiny_dataset.h"
#include "tests/support/tutorial_models.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;
using testing::random_bytes;
using testing::same_bits;

const NoiseStream kNoise{11, NoisePurpose::kScoring, 0};

/// Images of the flow's size: all black, all white, then half of them random bytes and half a few bright pixels.
struct TestImages {
  TestImages(const Flow& flow, int count) : n(count), pixels(count * flow.dims()), index(count) {
    const std::size_t dims = flow.dims();
    const std::vector<std::uint8_t> random = random_bytes(pixels.size(), 17);
    for (std::size_t p = 0; p < pixels.size(); ++p) {
      const std::size_t i = p / dims;
      const std::uint8_t sparse = random[p] > 200 ? random[p] : 0;
      pixels[p] = i == 0 ? 0 : i == 1 ? 255 : i % 2 == 0 ? random[p] : sparse;
    }
    for (int i = 0; i < count; ++i) index[i] = std::uint32_t(1000 - 7 * i);
  }
  Batch batch() const { return {pixels.data(), index.data(), n}; }

  int n;
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint32_t> index;
};

Flow random_flow(const FlowConfig& config, Device device = Device::kCpu) {
  Flow flow(config, device);
  randomize(flow, 21);
  return flow;
}

std::vector<double> all_values(const Latents& latents) {
  std::vector<double> values;
  for (const Latent& z : latents) values.insert(values.end(), z.values.begin(), z.values.end());
  return values;
}

/// Everything that a flow says about images, one number after the other.
std::vector<double> everything(Flow& flow, Batch batch) {
  std::vector<double> values = flow.log_prob_draws(batch, kNoise, 2);
  const std::vector<double> z = all_values(flow.encode(batch, {kNoise}));
  values.insert(values.end(), z.begin(), z.end());
  for (const std::uint8_t pixel : flow.sample({.count = 5, .seed = 4})) values.push_back(pixel);
  return values;
}

TEST_CASE("images survive encode and decode unchanged", "[flow][long]") {
  const std::string model = GENERATE("simple", "vardeq", "multiscale");
  const std::string edition = GENERATE("2024", "2022");
  INFO(model << " " << edition);
  const auto check = [&](int rows, int cols, int count) {
    Flow flow = random_flow(tutorial(model, edition, rows, cols));
    const TestImages images(flow, count);
    const Latents latents = flow.encode(images.batch(), {kNoise});
    CHECK(flow.decode(latents, count) == images.pixels);
    CHECK(all_values(latents).size() == images.pixels.size());
    for (const double z : all_values(latents)) REQUIRE(std::isfinite(z));
    // Latents of another draw of noise are others, and they hold the same images.
    const Latents others = flow.encode(images.batch(), {{11, NoisePurpose::kScoring, 1}});
    CHECK_FALSE(same_bits(all_values(others), all_values(latents)));
    CHECK(flow.decode(others, count) == images.pixels);
  };
  check(28, 28, 4);
  check(8, 12, 20);
}

TEST_CASE("encode undoes nothing by itself: every layer acts", "[flow]") {
  // Were the last convolutions zero, latents would be the dequantized pixels, and the round trip no test.
  const FlowConfig config = tutorial("multiscale", "2024", 8, 12);
  Flow still(config), moved = random_flow(config);
  still.initialize(21);
  const TestImages images(still, 3);
  const std::vector<double> a = still.log_prob(images.batch(), {kNoise}), b = moved.log_prob(images.batch(), {kNoise});
  for (int i = 0; i < 3; ++i) CHECK(std::abs(a[i] - b[i]) > 1);  // nats; rounding moves them by 1e-12
}

TEST_CASE("sizes other than MNIST's work, also odd ones where nothing is squeezed", "[flow]") {
  for (const FlowConfig& config :
       {tutorial("simple", "2024", 5, 7), tutorial("vardeq", "2022", 1, 3), tutorial("multiscale", "2024", 4, 16)}) {
    INFO(config.name());
    Flow flow = random_flow(config);
    const TestImages images(flow, 6);
    CHECK(flow.decode(flow.encode(images.batch(), {kNoise}), 6) == images.pixels);
    CHECK(flow.sample({.count = 3}).size() == 3 * flow.dims());
  }
  const auto refusal = [](const std::string& model, int height, int width) {
    return error_of([&] { Flow(tutorial(model, "2024", height, width)); });
  };
  CHECK_THAT(refusal("multiscale", 6, 6), Contains("model multiscale: layers.4 (squeeze)") &&
                                              Contains("3 x 3 pixels") && Contains("both sides must be even"));
  CHECK_THAT(refusal("multiscale", 8, 6), Contains("layers.4 (squeeze)") && Contains("4 x 3 pixels"));
  CHECK_THAT(refusal("multiscale", 7, 8), Contains("layers.1 (squeeze)") && Contains("7 x 8 pixels"));
  CHECK_THAT(refusal("simple", 0, 6), Contains("data.height") && Contains("1 to 1024") && Contains("'0'"));
  CHECK_THAT(refusal("simple", 6, 1025), Contains("data.width") && Contains("1 to 1024") && Contains("'1025'"));
}

TEST_CASE("flows of checkerboards take sides of 65 pixels, in grey and in colour", "[flow][long]") {
  const FlowConfig grey = tutorial("simple", "2022", 65, 65, 2);
  const FlowConfig colour = grey.with_shape(65, 63, 3)
                                .with("data.levels", "32")
                                .with("layers", R"([{"type": "coupling", "repeat": 3, "alternate": true,
              "conditioner": {"type": "resnet", "hidden": 8, "blocks": 1}}, "batch_norm", "actnorm"])");
  for (const FlowConfig& config : {grey, colour}) {
    Flow flow = random_flow(config);
    const TestImages images(flow, 3);
    const Latents latents = flow.encode(images.batch(), {kNoise});
    CHECK(flow.decode(latents, 3) == testing::reduced(images.pixels, config.data().integer("levels")));
    for (const double z : all_values(latents)) REQUIRE(std::isfinite(z));
  }
}

TEST_CASE("any number of grey levels comes back from the latents", "[flow]") {
  for (const int levels : {2, 4, 8, 16, 32, 64, 128, 256}) {
    INFO(levels);
    Flow flow = random_flow(tutorial("vardeq", "2024", 5, 7, 2).with("data.levels", std::to_string(levels)));
    const TestImages images(flow, 4);
    const std::vector<std::uint8_t> seen = flow.decode(flow.encode(images.batch(), {kNoise}), 4);
    CHECK(seen == testing::reduced(images.pixels, levels));
    TestImages again = images;
    again.pixels = seen;  // what was seen is seen as the same
    CHECK(flow.decode(flow.encode(again.batch(), {kNoise}), 4) == seen);
    CHECK(same_bits(flow.log_prob(again.batch(), {kNoise}), flow.log_prob(images.batch(), {kNoise})));
  }
}

TEST_CASE("a flow can have another number of couplings than the tutorial's", "[flow]") {
  const auto kinds_of = [](const std::string& model, int couplings) {
    std::string kinds;
    for (const auto& layer : Flow(tutorial(model, "2024", 8, 12, couplings)).layers()) {
      if (layer.name == "base") continue;
      const bool channel = layer.description.find("channel mask") != std::string::npos;
      kinds += layer.description.starts_with("coupling") ? (channel ? 'C' : 'c') : layer.description[0];
    }
    return kinds;
  };
  CHECK(kinds_of("simple", 3) == "uccc");
  CHECK(kinds_of("vardeq", 1) == "vc");
  CHECK(kinds_of("multiscale", 4) == "vcsCssCC");
  CHECK(kinds_of("multiscale", 8) == "vccsCCssCCCC");
  CHECK(kinds_of("multiscale", 12) == "vcccsCCCssCCCCCC");
  Flow flow = random_flow(tutorial("multiscale", "2024", 8, 4, 16));
  const TestImages images(flow, 4);
  CHECK(flow.decode(flow.encode(images.batch(), {kNoise}), 4) == images.pixels);
  for (const int couplings : {-8, -4, 0, 10, 2147483647}) {
    CHECK_THAT(error_of([&] { tutorial("multiscale", "2024", 8, 12, couplings); }),
               Contains("model multiscale") && Contains("8 couplings") && Contains("multiple of 4") &&
                   Contains("not " + std::to_string(couplings)));
  }
  for (const int couplings : {4096, 16400, 2147483644}) {
    CHECK_THAT(error_of([&] { tutorial("multiscale", "2024", 8, 12, couplings); }), Contains("4096"));
  }
}

TEST_CASE("latents have the shapes of the model", "[flow]") {
  const auto shapes_of = [](const std::string& model) {
    std::string text;
    for (const auto& [name, s] : Flow(tutorial(model, "2024", 8, 12)).latent_shapes()) {
      text += name + " " + std::to_string(s.h) + "x" + std::to_string(s.w) + "x" + std::to_string(s.c) + " ";
    }
    return text;
  };
  CHECK(shapes_of("simple") == "z.final 8x12x1 ");
  CHECK(shapes_of("vardeq") == "z.final 8x12x1 ");
  CHECK(shapes_of("multiscale") == "z.0 4x6x2 z.final 2x3x8 ");
  Flow flow(tutorial("multiscale", "2024", 8, 12));
  const TestImages images(flow, 2);
  Latents latents = flow.encode(images.batch(), {kNoise});
  CHECK(latents[0].values.size() == 2 * 48);
  CHECK(latents[1].values.size() == 2 * 48);
  CHECK_THAT(error_of([&] { flow.decode(latents, 3); }), Contains("latent z.0") && Contains("3 x 4 x 6 x 2"));
  latents.pop_back();
  CHECK_THAT(error_of([&] { flow.decode(latents, 2); }), Contains("number of latents"));
}

TEST_CASE("results do not depend on the inference batch", "[flow]") {
  const std::string model = GENERATE("vardeq", "multiscale");
  Flow flow = random_flow(tutorial(model, "2024", 8, 12));
  const TestImages images(flow, 9);
  const std::vector<double> whole = everything(flow, images.batch());
  for (const int piece : {1, 2, 4, 9}) {
    INFO(piece);
    flow.set_inference_batch(piece);
    CHECK(same_bits(everything(flow, images.batch()), whole));
  }
}

TEST_CASE("an image scores the same whatever stands beside it in the batch", "[flow]") {
  Flow flow = random_flow(tutorial("multiscale", "2024", 8, 12));
  const TestImages images(flow, 7);
  const std::size_t dims = flow.dims();
  const std::vector<double> together = flow.log_prob(images.batch(), {kNoise});
  for (int i = 0; i < 7; ++i) {
    const Batch alone{&images.pixels[i * dims], &images.index[i], 1};
    CHECK(same_bits(flow.log_prob(alone, {kNoise}), {together[i]}));
  }
  const std::uint32_t other = images.index[3] + 1;  // the number keys the noise
  CHECK(flow.log_prob({&images.pixels[3 * dims], &other, 1}, {kNoise})[0] != together[3]);
}

TEST_CASE("given noise is cut into pieces with its images", "[flow]") {
  Flow flow = random_flow(tutorial("vardeq", "2024", 8, 12));
  const TestImages images(flow, 7);
  std::vector<float> noise;
  for (const double u : testing::random_uniform<double>(images.pixels.size(), 23)) noise.push_back(float(u));
  const std::vector<double> whole = flow.log_prob(images.batch(), {{}, noise.data()});
  const std::vector<double> z = all_values(flow.encode(images.batch(), {{}, noise.data()}));
  flow.set_inference_batch(3);
  CHECK(same_bits(flow.log_prob(images.batch(), {{}, noise.data()}), whole));
  CHECK(same_bits(all_values(flow.encode(images.batch(), {{}, noise.data()})), z));
}

TEST_CASE("results do not depend on the number of threads", "[flow]") {
  const std::string model = GENERATE("vardeq", "multiscale");
  const FlowConfig config = tutorial(model, "2022", 8, 12);
  Flow flow = random_flow(config, Device{.threads = 1});
  const TestImages images(flow, 5);
  const std::vector<double> one = everything(flow, images.batch());
  for (const int threads : {2, 3}) {
    Flow other = random_flow(config, Device{.threads = threads});
    CHECK(same_bits(everything(other, images.batch()), one));
  }
}

TEST_CASE("importance sampling is the log-mean-exp over draws of noise", "[flow]") {
  Flow flow = random_flow(tutorial("multiscale", "2024", 8, 12));
  const TestImages images(flow, 4);
  constexpr int kSamples = 5;
  const std::vector<double> draws = flow.log_prob_draws(images.batch(), kNoise, kSamples);
  REQUIRE(draws.size() == 4 * kSamples);
  for (int k = 0; k < kSamples; ++k) {  // a draw is the bound under that draw's noise
    const std::vector<double> single = flow.log_prob(images.batch(), {{11, NoisePurpose::kScoring, std::uint32_t(k)}});
    CHECK(same_bits(single, {draws.begin() + 4 * k, draws.begin() + 4 * (k + 1)}));
  }
  CHECK(same_bits(flow.log_prob(images.batch(), kNoise, 1), flow.log_prob(images.batch(), {kNoise})));
  const std::vector<double> mean = flow.log_prob(images.batch(), kNoise, kSamples);
  for (int i = 0; i < 4; ++i) {
    double largest = draws[i], sum = 0;
    for (int k = 0; k < kSamples; ++k) largest = std::max(largest, draws[4 * k + i]);
    for (int k = 0; k < kSamples; ++k) sum += std::exp(draws[4 * k + i] - largest);
    const double expected = largest + std::log(sum / kSamples);
    CHECK(mean[i] == Approx(expected).epsilon(1e-13));  // the same few operations, perhaps in another order
  }
  CHECK_THAT(error_of([&] { flow.log_prob(images.batch(), kNoise, 0); }), Contains("at least one sample"));
  CHECK(flow.unit() == "bits/dim");
  CHECK(flow.nats_per_unit() == Approx(96 * std::log(2.0)).epsilon(1e-15));
}

TEST_CASE("sample k of a seed is the same in any batch", "[flow]") {
  const std::string model = GENERATE("simple", "multiscale");
  Flow flow = random_flow(tutorial(model, "2024", 8, 12));
  const std::size_t dims = flow.dims();
  const std::vector<std::uint8_t> seven = flow.sample({.count = 7, .seed = 5});
  REQUIRE(seven.size() == 7 * dims);
  const std::vector<std::uint8_t> some = flow.sample({.count = 3, .seed = 5, .first = 2});
  CHECK(some == std::vector<std::uint8_t>(seven.begin() + 2 * dims, seven.begin() + 5 * dims));
  CHECK(flow.sample({.count = 7, .seed = 6}) != seven);
  CHECK(flow.decode(flow.draw_latents({.count = 7, .seed = 5}), 7) == seven);
  CHECK(flow.decode(flow.draw_latents({.count = 3, .seed = 5, .first = 2}), 3) == some);
  CHECK(flow.sample({.count = 0}).empty());

  const std::vector<std::uint8_t> cold = flow.sample({.count = 3, .seed = 5, .temperature = 0});
  CHECK(std::vector<std::uint8_t>(cold.begin() + dims, cold.end()) ==
        std::vector<std::uint8_t>(cold.begin(), cold.end() - dims));
  CHECK(std::vector<std::uint8_t>(seven.begin(), seven.begin() + dims) !=
        std::vector<std::uint8_t>(seven.begin() + dims, seven.begin() + 2 * dims));
  for (const double temperature : {-1.0, double(NAN), double(INFINITY)}) {
    CHECK_THAT(error_of([&] { flow.sample({.count = 1, .temperature = temperature}); }), Contains("temperature"));
  }
  CHECK_THAT(error_of([&] { flow.sample({.count = -1}); }), Contains("negative"));
}

TEST_CASE("a value that is not finite is found in its layer and image", "[flow]") {
  const std::string model = GENERATE("simple", "multiscale");
  Flow flow = random_flow(tutorial(model, "2024", 8, 12));
  const TestImages images(flow, 4);
  CHECK_FALSE(flow.find_non_finite(images.batch(), {kNoise}, DType::kF32));
  CHECK_FALSE(flow.find_non_finite(images.batch(), {kNoise}, DType::kF64));

  std::vector<float> noise(images.pixels.size(), 0.5f);
  noise[2 * flow.dims() + 5] = std::numeric_limits<float>::quiet_NaN();
  const auto at_image = flow.find_non_finite(images.batch(), {{}, noise.data()}, DType::kF32);
  REQUIRE(at_image);
  CHECK_THAT(*at_image, Contains("layer flows.0 (") && Contains("image " + std::to_string(images.index[2])));

  for (const std::string layer : {"flows.5", "flows.2"}) {  // the first one that is met counts
    for (int i = 0; i < flow.parameters().count(); ++i) {
      if (flow.parameters()[i].name != layer + ".network.nn.0.bias") continue;
      flow.parameters().value(i).data<float>()[1] = std::numeric_limits<float>::quiet_NaN();
    }
    const auto at_layer = flow.find_non_finite(images.batch(), {kNoise}, DType::kF64);
    REQUIRE(at_layer);
    CHECK_THAT(*at_layer, Contains("layer " + layer + " (coupling") && Contains("image 1000"));
  }
}

void check_refusals(Device device) {
  Flow flow = random_flow(tutorial("simple", "2024", 8, 4), device);
  const TestImages images(flow, 3);
  flow.set_inference_batch(2);
  Latents latents = flow.encode(images.batch(), {kNoise});

  Latents too_large = latents;
  too_large[0].values[2 * flow.dims() + 5] = 1e308;  // (z + t) exp(s) and back: of image 2 only
  testing::set_last_bias(flow, "flows.4", 1e4f);
  const auto message_of = [](auto&& call) {
    try {
      call();
    } catch (const NotFinite& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const std::string decoded = message_of([&] { flow.decode(too_large, 3); });
  CHECK_THAT(decoded, Contains("images are not finite") && Contains("layer flows.") && Contains("image 2"));

  testing::set_last_bias(flow, "flows.4", std::numeric_limits<float>::infinity());
  CHECK_THAT(message_of([&] { flow.encode(images.batch(), {kNoise}); }),
             Contains("latents are not finite") && Contains("layer flows.4 (coupling") && Contains("image 1000"));
  CHECK_THAT(message_of([&] { flow.decode(latents, 3); }), Contains("layer flows.4 (coupling") && Contains("image 0"));
  CHECK_THAT(message_of([&] { flow.sample({.count = 3, .seed = 1, .first = 7}); }),
             Contains("layer flows.4 (coupling") && Contains("image 7"));
}

TEST_CASE("encode and decode and sample refuse what is not finite, by layer and example", "[flow]") {
  check_refusals(Device::kReference);
  check_refusals(Device::kCpu);
}

TEST_CASE("they do on the GPU's kernels too", "[flow][gpu]") { check_refusals(Device::kEmulated); }

TEST_CASE("an empty batch is refused on a tape and gives nothing elsewhere", "[flow]") {
  Flow flow(tutorial("simple", "2024", 5, 7));
  const Batch none{nullptr, nullptr, 0};
  Tape tape(Device::kCpu);
  tape.start(true);
  CHECK_THAT(error_of([&] { flow.forward(tape, none, {kNoise}, DType::kF32, false); }),
             Contains("at least one example"));
  CHECK(flow.log_prob(none, {kNoise}).empty());
  CHECK(flow.decode(flow.encode(none, {kNoise}), 0).empty());
}

}  // namespace
}  // namespace flowsmith::core
