// The contract of a flow, for each of its layers: tests/support/bijector_suite.h.
#include <catch2/catch.hpp>

#include "models/coupling_layer.h"
#include "models/dequantization.h"
#include "models/multiscale.h"
#include "tests/support/bijector_suite.h"

namespace flowsmith::testing {
namespace {

constexpr std::uint32_t kIndex = 0;

std::vector<double> normals(MapShape shape, std::uint64_t seed) {
  std::vector<double> x(shape.size());
  normal_noise(x.data(), &kIndex, NoiseStream{seed}, 1, 1, x.size(), Reference{});
  return x;
}

/// In [0.1, 0.9]: dequantization noise, away from the ends where the third derivative of the logit is large.
std::vector<double> uniforms(MapShape shape, std::uint64_t seed) {
  std::vector<double> x(shape.size());
  uniform_noise(x.data(), &kIndex, NoiseStream{seed}, 1, x.size(), Reference{});
  for (double& value : x) value = 0.1 + 0.8 * value;
  return x;
}

/// The same picture for every image of a batch.
Tensor pictures(Tape& tape, MapShape map) {
  const Tensor images = tape.arena().tensor(DType::kU8, map);
  for (std::size_t i = 0; i < map.size(); ++i) {
    images.data<std::uint8_t>()[i] = std::uint8_t(30 + 25 * (i % map.image_size()));
  }
  return images;
}

LayerExample dequantization_example(const std::string& name, int couplings, Edition edition, MapShape shape) {
  return {
      name,
      [=](Parameters& parameters) -> Layer {
        std::vector<std::unique_ptr<CouplingLayer>> layers;
        for (int i = 0; i < couplings; ++i) {
          const CouplingOptions options{{MaskKind::kCheckerboard, i % 2 == 1}, 1, 1, 6, edition};
          layers.push_back(std::make_unique<CouplingLayer>(parameters, "flows." + std::to_string(i) + ".", options));
        }
        const auto layer = std::make_shared<Dequantization>(std::move(layers));
        return {[=](FlowPass& pass, Var u) {
                  return layer->forward(pass, pictures(pass.tape, pass.tape.value(u).map()), u);
                },
                nullptr};
      },
      shape, uniforms(shape, 11)};
}

}  // namespace

TEST_CASE("coupling layers are bijections with the log-determinant that they say") {
  const Edition edition = GENERATE(Edition::k2024, Edition::k2022);
  const MaskKind kind = GENERATE(MaskKind::kCheckerboard, MaskKind::kChannel);
  const bool invert = GENERATE(false, true);
  const MapShape shape = GENERATE(MapShape{3, 2, 3, 2}, MapShape{2, 3, 1, 3}, MapShape{2, 1, 2, 4});
  const CouplingOptions options{{kind, invert}, shape.c, 0, 6, edition};
  check_layer({edition_name(edition) + " coupling",
               [=](Parameters& p) { return layer_of(std::make_shared<CouplingLayer>(p, "flows.1.", options)); }, shape,
               normals(shape, 1)});
}

TEST_CASE("squeeze is a permutation") {
  const MapShape shape = GENERATE(MapShape{2, 2, 2, 1}, MapShape{3, 2, 4, 3});
  check_layer(
      {"squeeze", [](Parameters&) { return layer_of(std::make_shared<SqueezeLayer>()); }, shape, normals(shape, 2)});
}

TEST_CASE("split keeps everything, here or in its latent") {
  const MapShape shape = GENERATE(MapShape{2, 2, 3, 4}, MapShape{2, 1, 2, 3});
  check_layer(
      {"split", [](Parameters&) { return layer_of(std::make_shared<SplitLayer>(0)); }, shape, normals(shape, 3)});
}

TEST_CASE("dequantization has the log-determinant that it says") {
  const MapShape shape{2, 2, 3, 1};
  check_layer(dequantization_example("uniform dequantization", 0, Edition::k2024, shape));
  for (const Edition edition : {Edition::k2024, Edition::k2022}) {
    check_layer(dequantization_example("variational dequantization " + edition_name(edition), 3, edition, shape));
  }
}

TEST_CASE("layers say the shape that they return") {
  const MapShape in{2, 4, 6, 4};
  Parameters parameters(Device::kReference, DType::kF64);
  const CouplingLayer coupling(parameters, "flows.1.", {{MaskKind::kChannel, false}, in.c, 0, 4, Edition::k2024});
  const SqueezeLayer squeeze;
  const SplitLayer split(0);
  parameters.allocate();
  Tape tape(Device::kReference);
  for (const Bijector* const layer : {static_cast<const Bijector*>(&coupling), static_cast<const Bijector*>(&squeeze),
                                      static_cast<const Bijector*>(&split)}) {
    tape.start(false);
    const ParameterVars vars(tape, parameters);
    const Var x = tape.output(DType::kF64, in, false), logdet = tape.output(DType::kF64, Shape{in.n}, false);
    std::memset(tape.value(x).raw(), 0, tape.value(x).bytes());
    std::memset(tape.value(logdet).raw(), 0, tape.value(logdet).bytes());
    FlowPass pass{tape, vars, DType::kF64, logdet, {}, false};
    INFO(layer->description());
    CHECK(tape.value(layer->forward(pass, x)).shape() == Shape(layer->output_shape(in)));
  }
}

TEST_CASE("a new coupling layer is the identity") {
  const MapShape shape{2, 3, 3, 2};
  Parameters parameters(Device::kReference, DType::kF64);
  const CouplingLayer coupling(parameters, "flows.1.",
                               {{MaskKind::kCheckerboard, false}, shape.c, 0, 4, Edition::k2024});
  parameters.allocate();
  parameters.initialize(5);
  Tape tape(Device::kReference);
  tape.start(true);
  const ParameterVars vars(tape, parameters);
  const std::vector<double> x = normals(shape, 4);
  const Tensor in = tape.arena().tensor(DType::kF64, shape);
  std::copy(x.begin(), x.end(), in.data<double>());
  const Var logdet = tape.output(DType::kF64, Shape{shape.n}, false);
  std::memset(tape.value(logdet).raw(), 0, tape.value(logdet).bytes());
  FlowPass pass{tape, vars, DType::kF64, logdet, {}, false};
  CHECK(to_doubles(tape.value(coupling.forward(pass, tape.constant(in)))) == x);
  CHECK(to_doubles(tape.value(logdet)) == std::vector<double>(shape.n, 0.0));
}

}  // namespace flowsmith::testing
