// What the page of flowsmith explore is told, held against the flow itself.
#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tests/support/tiny_dataset.h"
#include "tests/support/tutorial_models.h"
#include "tools/pictures/explorer.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;
using nlohmann::json;

Flow image_flow() {
  Flow flow(tutorial("multiscale", "2024", 8, 4));
  randomize(flow, 13);
  return flow;
}

ExamplePiece some_images(int n) {
  ExamplePiece examples;
  for (int i = 0; i < n; ++i) {
    examples.index.push_back(std::uint32_t(i));
    for (int k = 0; k < 32; ++k) examples.pixels.push_back(std::uint8_t((i * 57 + k * 91) % 256));
  }
  return examples;
}

std::vector<std::uint8_t> image_of(const ExamplePiece& examples, int i) {
  return {examples.pixels.begin() + i * 32, examples.pixels.begin() + (i + 1) * 32};
}

TEST_CASE("the page's answers about images are those of the flow", "[explore]") {
  const ExamplePiece examples = some_images(3);
  Explorer explorer(image_flow(), examples);
  Flow flow = image_flow();
  const json info = explorer.answer("info", json::object());
  CHECK(info["kind"] == "images");
  CHECK(info["rows"] == 8);
  CHECK(info["columns"] == 4);
  CHECK(info["examples"] == 3);
  CHECK(info["latents"].size() == flow.latent_shapes().size());
  CHECK(explorer.answer("example", {{"number", 2}})["pixels"] == image_of(examples, 2));

  const std::vector<std::uint8_t> image = image_of(examples, 1);
  const std::uint32_t first = 0;
  const Batch batch{image.data(), &first, 1};
  const NoiseStream noise{42, NoisePurpose::kScoring, 0};
  for (const int samples : {1, 8}) {
    const json score = explorer.answer("score", {{"pixels", image}, {"samples", samples}});
    CHECK(score["bits_per_dim"] == -flow.log_prob(batch, noise, samples)[0] / flow.nats_per_unit());
    CHECK(score["pixels"] == image);
    CHECK(score["gradient"].size() == 32);
  }
  const std::vector<double> temperatures{0.5, 1};
  CHECK(explorer.answer("sample", {{"seed", 7}, {"temperatures", temperatures}})["pixels"] ==
        flow.sample({.count = 1, .seed = 7, .temperatures = temperatures}));
  // Both ends of the way are the images, pixel for pixel.
  const json a = image_of(examples, 0), b = image_of(examples, 2);
  CHECK(explorer.answer("between", {{"a", a}, {"b", b}, {"t", 0}})["pixels"] == a);
  CHECK(explorer.answer("between", {{"a", a}, {"b", b}, {"t", 1}})["pixels"] == b);
  CHECK(explorer.answer("between", {{"a", a}, {"b", b}, {"t", 0.5}})["pixels"] != a);
  CHECK(explorer.answer("change", {{"pixels", a}, {"latent", 1}, {"channel", 0}, {"by", 0}})["pixels"] == a);
  CHECK(explorer.answer("change", {{"pixels", a}, {"latent", 1}, {"channel", 0}, {"by", 3}})["pixels"] != a);
}

TEST_CASE("the gradient of log p is that of finite differences", "[explore]") {
  for (const char* const model : {"simple", "multiscale"}) {
    INFO(model);
    Flow flow(tutorial(model, "2024", 8, 4), Device::kReference, DType::kF64);
    flow.initialize(3);
    flow.parameters().jitter(5, 0.05);
    const ExamplePiece examples = some_images(2);
    const DequantizationNoise noise{NoiseStream{1, NoisePurpose::kScoring, 0}};
    const std::vector<double> gradient = flow.log_prob_gradient(examples.batch(), noise);
    REQUIRE(gradient.size() == 64);
    const std::vector<double> z = flow.layer_outputs(examples.batch(), noise).front().values;
    // The score from z on: the layers' log-determinant and the standard normal of all latents.
    const auto score = [&](const std::vector<double>& at) {
      const Transformed t = flow.transform(at, 2);
      double sum = std::accumulate(t.logdet.begin(), t.logdet.end(), 0.0);
      for (const double value : t.values) sum -= value * value / 2;
      return sum;
    };
    constexpr double kStep = 1e-5;
    for (const std::size_t i : {0, 5, 17, 31, 32, 50, 63}) {
      std::vector<double> more = z, less = z;
      more[i] += kStep;
      less[i] -= kStep;
      // Central differences of doubles: an error of 1e-10 by the step and 1e-9 by rounding of sums near 100.
      CHECK(gradient[i] == Approx((score(more) - score(less)) / (2 * kStep)).margin(1e-6).epsilon(1e-6));
    }
  }
}

TEST_CASE("the page's answers about the plane are those of the flow", "[explore]") {
  const auto moons = [] {
    Flow flow(FlowConfig::named("moons"));
    flow.initialize(1);
    return flow;
  };
  ExamplePiece points;
  for (int i = 0; i < 50; ++i) {
    points.index.push_back(std::uint32_t(i));
    points.values.push_back(std::sin(i));
    points.values.push_back(std::cos(2 * i));
  }
  Explorer explorer(moons(), points);
  Flow flow = moons();
  CHECK(explorer.answer("info", json::object())["kind"] == "plane");
  const json density = explorer.answer("density", json::object());
  CHECK(density["values"].size() == 96 * 96);
  const double x[] = {0.25, -0.5};
  const json point = explorer.answer("point", {{"x", {x[0], x[1]}}});
  const std::uint32_t first = 0;
  const Batch batch{nullptr, &first, 1, x};
  CHECK(point["log_prob"] == flow.log_prob(batch, {NoiseStream{}})[0]);
  CHECK(point["steps"].size() == flow.layers().size() - 1);
  CHECK(point["steps"][0] == json{0.25, -0.5});
  CHECK(point["steps"].back() == flow.encode(batch, {NoiseStream{}}).back().values);
  CHECK_THROWS_AS(explorer.answer("score", {{"pixels", json::array()}}), BadQuestion);
}

TEST_CASE("questions that make no sense are refused, whatever they hold", "[explore]") {
  Explorer explorer(image_flow(), some_images(2));
  const json image = image_of(some_images(1), 0);
  json long_image = image, wrong_pixel = image, half_pixel = image, word = image;
  long_image.push_back(0);
  wrong_pixel[3] = 256;
  half_pixel[3] = 0.5;
  word[3] = "x";
  const std::vector<std::pair<std::string, json>> questions{
      {"", json::object()},
      {"nothing", json::object()},
      {"density", json::object()},
      {"info", json::array()},
      {"info", nullptr},
      {"example", json::object()},
      {"example", {{"number", 2}}},
      {"example", {{"number", -1}}},
      {"example", {{"number", 1e300}}},
      {"example", {{"number", "1"}}},
      {"score", json::object()},
      {"score", {{"pixels", image}}},
      {"score", {{"pixels", image}, {"samples", 0}}},
      {"score", {{"pixels", image}, {"samples", 9}}},
      {"score", {{"pixels", long_image}, {"samples", 1}}},
      {"score", {{"pixels", wrong_pixel}, {"samples", 1}}},
      {"score", {{"pixels", half_pixel}, {"samples", 1}}},
      {"score", {{"pixels", word}, {"samples", 1}}},
      {"sample", {{"seed", 1}, {"temperatures", {1}}}},
      {"sample", {{"seed", 1}, {"temperatures", {1, -1}}}},
      {"sample", {{"seed", 1}, {"temperatures", {1, 11}}}},
      {"sample", {{"seed", -1}, {"temperatures", {1, 1}}}},
      {"between", {{"a", image}, {"b", image}, {"t", 1.5}}},
      {"between", {{"a", image}, {"t", 0.5}}},
      {"change", {{"pixels", image}, {"latent", 2}, {"channel", 0}, {"by", 0}}},
      {"change", {{"pixels", image}, {"latent", 0}, {"channel", 99}, {"by", 0}}},
      {"change", {{"pixels", image}, {"latent", 0}, {"channel", 0}, {"by", 1e9}}},
  };
  for (const auto& [question, asked] : questions) {
    INFO(question << " " << asked.dump());
    CHECK_THROWS_AS(explorer.answer(question, asked), BadQuestion);
  }
}

}  // namespace
}  // namespace flowsmith::core
