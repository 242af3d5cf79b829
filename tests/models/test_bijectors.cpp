// The contract of a flow, for each of its layers: tests/support/bijector_suite.h.
#include <catch2/catch.hpp>

#include "models/bases/base.h"
#include "models/input/input_layer.h"
#include "tests/support/bijector_suite.h"
#include "tests/support/error_of.h"
#include "tests/support/masks.h"

namespace flowsmith::core::testing {
namespace {

/// In [0.1, 0.9]: dequantization noise, away from the ends where the third derivative of the logit is large.
std::vector<double> uniforms(MapShape shape, std::uint64_t seed) {
  return random_uniform<double>(shape.size(), seed, 0.1, 0.9);
}

/// The same picture for every image of a batch.
Tensor pictures(Tape& tape, MapShape map) {
  const Tensor images = tape.arena().tensor(DType::kU8, map);
  std::vector<std::uint8_t> pixels(map.size());
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = std::uint8_t(30 + 25 * (i % map.image_size()));
  upload(tape.device(), images, pixels.data());
  return images;
}

/// Dequantization noise to z, for the same picture.
LayerExample dequantization_example(const std::string& json, MapShape shape, int levels = 256) {
  const auto make = [=](Parameters& parameters) -> Layer {
    Builder builder{parameters, "flows.0.", {1, shape.h, shape.w, shape.c}};
    builder.levels = levels;
    const std::shared_ptr<InputLayer> layer =
        make_dequantization(settings_of(json, ComponentKind::kDequantization), builder);
    return {[layer](FlowPass& pass, Var u) {
              BatchTensors batch;
              batch.noise = pass.tape.value(u);
              batch.data = pictures(pass.tape, batch.noise.map());
              return layer->forward(pass, batch, batch.noise.dtype());
            },
            nullptr, [layer](const Parameters& p) { layer->weights_changed(p); }};
  };
  LayerExample example{json, make, shape, uniforms(shape, 11)};
  example.bias_shift = 0;  // log-determinants are large anyway, and noise shifted to an end has large derivatives
  example.x_has_gradient = false;
  return example;
}

/// Data that are numbers.
LayerExample number_example(const std::string& json, MapShape shape) {
  const auto make = [=](Parameters& parameters) -> Layer {
    Builder builder{parameters, "flows.0.", {1, shape.h, shape.w, shape.c}};
    const std::shared_ptr<InputLayer> layer = make_number_input(settings_of(json, ComponentKind::kData), builder);
    return {[layer](FlowPass& pass, Var x) {
              BatchTensors batch;
              batch.data = pass.tape.value(x);
              return layer->forward(pass, batch, batch.data.dtype());
            },
            [layer](FlowPass& pass, Var z) {
              const Tensor data = pass.tape.arena().tensor(DType::kF64, pass.tape.value(z).shape());
              layer->inverse(pass, z, data);
              return pass.tape.constant(data);
            },
            [layer](const Parameters& p) { layer->weights_changed(p); }};
  };
  LayerExample example{json, make, shape, normals(shape, 5)};
  example.x_has_gradient = false;
  example.has_networks = false;
  return example;
}

LayerExample base_example(const std::string& json, MapShape shape) {
  const auto make = [=](Parameters& parameters) -> Layer {
    Builder builder{parameters, "base.", {1, shape.h, shape.w, shape.c}};
    const std::shared_ptr<Base> base = make_base(settings_of(json, ComponentKind::kBase), builder);
    return {[base](FlowPass& pass, Var z) { return base->forward(pass, z); },
            [base](FlowPass& pass, Var latent) { return base->inverse(pass, latent); }, [](const Parameters&) {}};
  };
  LayerExample example{json, make, shape, normals(shape, 9)};
  example.is_density = true;
  example.has_networks = false;
  return example;
}

std::string gated_resnet(int hidden, const std::string& edition, int blocks = 3) {
  return R"({"type": "gated_resnet", "hidden": )" + std::to_string(hidden) + R"(, "blocks": )" +
         std::to_string(blocks) + R"(, "edition": ")" + edition + R"("})";
}

std::string mlp(const std::string& hidden, const std::string& activation = "elu", const std::string& networks = "one") {
  return R"({"type": "mlp", "hidden": )" + hidden + R"(, "activation": ")" + activation + R"(", "networks": ")" +
         networks + R"("})";
}

const std::string kResnet = R"({"type": "resnet", "hidden": 5, "blocks": 1})";
const std::string kGlowCnn = R"({"type": "glow_cnn", "hidden": 6})";
const std::string kLearnedTanh = R"({"type": "affine", "bound": "learned_tanh", "order": "shift_first"})";

/// `mask` is JSON.
std::string coupling(const std::string& mask, bool invert, const std::string& transformer,
                     const std::string& conditioner) {
  return R"({"type": "coupling", "mask": )" + mask + R"(, "invert": )" + (invert ? "true" : "false") +
         R"(, "transformer": )" + transformer + R"(, "conditioner": )" + conditioner + "}";
}

std::string affine_coupling(const std::string& mask, bool invert, const std::string& network) {
  return coupling("\"" + mask + "\"", invert, kLearnedTanh, network);
}

/// A list for maps of this shape, as JSON.
std::string list_mask(MapShape shape) {
  std::string text;
  for (const std::uint8_t one : test_list(shape)) text += (text.empty() ? "[" : ", ") + std::to_string(one);
  return text + "]";
}

/// Zeros, as a pass needs them to add to.
Var zeros(Tape& tape, int n) {
  const Var sums = tape.output(DType::kF64, Shape{n}, false);
  fill_zero(tape.device(), tape.value(sums));
  return sums;
}

Var constant(Tape& tape, const std::vector<double>& values, MapShape shape) {
  const Tensor tensor = tape.arena().tensor(DType::kF64, shape);
  upload(tape.device(), tensor, values.data());
  return tape.constant(tensor);
}

/// Layers without networks, and shapes that they all fit.
struct PlainLayer {
  std::string json;
  bool volume_preserving;
};
const PlainLayer kPlainLayers[] = {
    {R"({"type": "actnorm"})", false},
    {R"({"type": "actnorm", "factor": 3})", false},
    {R"({"type": "diagonal"})", false},
    {R"({"type": "batch_norm"})", false},
    {R"({"type": "batch_norm", "affine": false, "eps": 0.01})", false},
    {R"({"type": "invertible_conv", "form": "plain"})", false},
    {R"({"type": "invertible_conv", "form": "plu"})", false},
    {R"({"type": "permutation"})", true},
    {R"({"type": "permutation", "order": "random", "seed": 3})", true},
};

LayerExample plain_example(const PlainLayer& layer, MapShape shape) {
  LayerExample example = layer_example(layer.json, shape);
  example.volume_preserving = layer.volume_preserving;
  example.has_networks = false;
  return example;
}

}  // namespace

TEST_CASE("every form of the affine transformer makes a bijection with the log-determinant that it says") {
  const std::vector<MapShape> shapes{{2, 3, 1, 3}, {3, 2, 3, 2}, {2, 1, 7, 2}, {2, 1, 1, 5}};
  std::size_t next = 0;
  for (const std::string order : {"scale_first", "shift_first"}) {
    for (const std::string bound :
         {R"("none")", R"("tanh")", R"("learned_tanh")", R"("sigmoid", "sigmoid_shift": 2)"}) {
      const std::string transformer = R"({"type": "affine", "order": ")" + order + R"(", "bound": )" + bound + "}";
      for (const std::string& network : {mlp("[6]"), gated_resnet(4, "2024", 1)}) {
        const MapShape shape = shapes[next++ % shapes.size()];
        const std::string mask = shape.h * shape.w == 1 ? R"("alternating")" : R"("checkerboard")";
        LayerExample example = layer_example(coupling(mask, false, transformer, network), shape);
        example.unbounded = bound == R"("none")";
        example.can_squash = bound.starts_with(R"("sigmoid")");
        check_layer(example);
      }
    }
  }
}

TEST_CASE("the additive transformer makes a bijection that keeps volumes") {
  for (const std::string& network : {mlp("[6, 5]", "tanh"), kResnet, kGlowCnn, gated_resnet(3, "2022", 1)}) {
    LayerExample example = layer_example(coupling(R"("channel")", true, R"("additive")", network), {2, 2, 3, 3});
    example.volume_preserving = true;
    check_layer(example);
  }
}

TEST_CASE("every mask makes a bijection with the log-determinant that it says") {
  for (const bool invert : {false, true}) {
    for (const MapShape shape : {MapShape{3, 2, 3, 2}, MapShape{2, 3, 1, 3}}) {
      const std::vector<std::string> masks{R"("checkerboard")", R"("channel")", R"("alternating")", list_mask(shape)};
      for (std::size_t m = 0; m < masks.size(); ++m) {
        for (const std::string& network : {gated_resnet(4, "2024", 1), kGlowCnn}) {
          if (m % 2 == 0 && network == kGlowCnn) continue;
          check_layer(layer_example(coupling(masks[m], invert, kLearnedTanh, network), shape));
        }
      }
    }
  }
  // One number alone is transformed by what the network makes of nothing: its weights have no gradient.
  const std::string alone = coupling(R"("checkerboard")", false, R"({"type": "affine", "bound": "none"})", mlp("[]"));
  const LayerExample one = layer_example(alone, {2, 1, 1, 1});
  check_layer_at_size(one);
  check_logdet(one);
  check_gradient_values(one);
}

TEST_CASE("every conditioner makes a bijection with the log-determinant that it says") {
  std::vector<std::string> networks{gated_resnet(6, "2024"),
                                    gated_resnet(6, "2022"),
                                    gated_resnet(5, "2024", 0),
                                    mlp("[]"),
                                    mlp("[7]", "relu"),
                                    mlp("[7, 6]", "tanh", "separate"),
                                    mlp("[9, 3]", "leaky_relu"),
                                    mlp("[4, 5]", "none"),
                                    kResnet,
                                    R"({"type": "resnet", "hidden": 4, "blocks": 2})",
                                    R"({"type": "resnet", "hidden": 3, "blocks": 0})",
                                    kGlowCnn,
                                    R"("glow_prior")"};
  for (const std::string& network : networks) {
    check_layer(layer_example(affine_coupling("checkerboard", false, network), {3, 3, 3, 1}));
    check_layer(layer_example(affine_coupling("channel", false, network), {2, 2, 1, 5}));
  }
}

TEST_CASE("layers without networks are bijections with the log-determinant that they say") {
  for (const PlainLayer& layer : kPlainLayers) {
    for (const MapShape shape : {MapShape{3, 3, 2, 5}, MapShape{2, 7, 1, 3}, MapShape{2, 1, 1, 12}}) {
      check_layer(plain_example(layer, shape));
    }
  }
  // One channel: there is nothing to permute or mix, and the triangles of an LU decomposition are empty.
  for (const PlainLayer& layer : kPlainLayers) {
    const LayerExample example = plain_example(layer, {2, 4, 5, 1});
    check_layer_at_size(example);
    check_logdet(example);
    check_gradient_values(example);
    check_large_inputs(example);
  }
}

TEST_CASE("squeeze is a permutation") {
  for (const MapShape shape : {MapShape{2, 2, 2, 1}, MapShape{3, 2, 4, 3}, MapShape{2, 4, 2, 5}}) {
    for (const std::string order : {"channel", "pixel"}) {
      LayerExample example = layer_example(R"({"type": "squeeze", "order": ")" + order + R"("})", shape);
      example.volume_preserving = true;
      example.has_networks = false;
      check_layer(example);
    }
  }
}

TEST_CASE("split keeps everything, here or in its latent") {
  for (const MapShape shape :
       {MapShape{2, 2, 3, 4}, MapShape{2, 1, 2, 3}, MapShape{2, 2, 1, 5}, MapShape{3, 1, 1, 2}}) {
    LayerExample example = layer_example(R"({"type": "split"})", shape);
    example.volume_preserving = true;
    check_layer(example);
    LayerExample learned = layer_example(R"({"type": "split", "prior": "learned"})", shape);
    learned.unbounded = true;
    check_layer(learned);
  }
}

TEST_CASE("layers are what they say at sizes of real images, with many channels and odd sides", "[long]") {
  const auto check = [](const std::string& json, MapShape shape, bool volume_preserving = false) {
    LayerExample example = layer_example(json, shape);
    example.volume_preserving = volume_preserving;
    check_layer_at_size(example);
  };
  check(affine_coupling("checkerboard", false, gated_resnet(8, "2024", 1)), {2, 65, 65, 1});
  check(affine_coupling("checkerboard", true, kResnet), {3, 28, 28, 3});
  check(affine_coupling("channel", false, kGlowCnn), {2, 28, 28, 12});
  check(affine_coupling("channel", true, kResnet), {2, 7, 7, 48});
  check(affine_coupling("alternating", false, mlp("[33]", "relu")), {5, 1, 1, 784});
  check(coupling(list_mask({1, 7, 28, 3}), false, kLearnedTanh, gated_resnet(5, "2022", 1)), {2, 7, 28, 3});
  check(R"({"type": "split", "prior": "learned"})", {2, 28, 7, 12});
  check(R"("squeeze")", {2, 28, 28, 3}, true);
  for (const PlainLayer& layer : kPlainLayers) {
    for (const MapShape shape : {MapShape{2, 7, 28, 48}, MapShape{3, 65, 65, 3}}) {
      check_layer_at_size(plain_example(layer, shape));
    }
  }
}

TEST_CASE("layers run with networks in bf16, and what they do they undo") {
  // Convolutions that see fewer than 16 channels stay float; the mask lets half of them through.
  for (const std::string& network :
       {gated_resnet(32, "2024", 1), gated_resnet(16, "2022", 1), std::string(R"({"type": "resnet", "hidden": 16})"),
        std::string(R"({"type": "glow_cnn", "hidden": 20})"), std::string(R"("glow_prior")")}) {
    const MapShape shape{2, 5, 7, network == R"("glow_prior")" ? 36 : 6};
    const LayerExample example = layer_example(affine_coupling("channel", false, network), shape);
    INFO(example.name);
    check_bf16(example);
  }
}

TEST_CASE("a split adds the density of its latent where it is told to") {
  const MapShape shape{2, 2, 3, 5};
  Parameters parameters(Device::kReference, DType::kF64);
  const auto split = make_layer(R"({"type": "split"})", shape, parameters);
  parameters.allocate();
  REQUIRE(split->latent_shape());
  CHECK(Shape(*split->latent_shape()) == Shape(MapShape{1, 2, 3, 2}));
  Tape tape(Device::kReference);
  tape.start(false);
  const ParameterVars vars(tape, parameters);
  FlowPass pass{tape, vars, DType::kF64, zeros(tape, shape.n), {}, true};
  pass.log_prior = zeros(tape, shape.n);
  split->forward(pass, constant(tape, normals(shape, 3), shape));
  REQUIRE(pass.latents.size() == 1);
  const std::vector<double> latent = to_doubles(pass.latents[0]), density = to_doubles(tape.value(pass.log_prior));
  CHECK(to_doubles(tape.value(pass.logdet)) == std::vector<double>(shape.n, 0.0));
  for (int i = 0; i < shape.n; ++i) {
    CHECK(density[i] == Approx(standard_normal_log_density(&latent[12 * i], 12)).epsilon(1e-14));  // 12 terms
  }
}

TEST_CASE("dequantization has the log-determinant that it says") {
  const MapShape shape{2, 2, 3, 1};
  check_layer(dequantization_example(R"({"type": "uniform"})", shape));
  check_layer(dequantization_example(R"({"type": "uniform", "alpha": 0.05})", {2, 1, 2, 3}));
  check_layer(dequantization_example(R"({"type": "uniform"})", shape, 32));
  for (const std::string& network : {gated_resnet(6, "2024"), gated_resnet(6, "2022"), mlp("[5]"), kResnet, kGlowCnn}) {
    std::string layer = affine_coupling("checkerboard", false, network);
    layer.insert(1, R"("repeat": 3, "alternate": true, )");
    check_layer(dequantization_example(R"({"type": "variational", "layers": [)" + layer + "]}", shape));
    check_layer(dequantization_example(R"({"type": "variational", "layers": [)" + layer + "]}", {2, 2, 1, 3}, 32));
    check_layer(dequantization_example(R"({"type": "variational", "undo_alpha": true, "layers": [)" + layer + "]}",
                                       {2, 2, 1, 3}, 32));
  }
  check_layer(dequantization_example(
      R"({"type": "variational", "layers": ["actnorm", {"type": "invertible_conv", "form": "plu"}, "batch_norm"]})",
      {2, 2, 1, 3}));
}

TEST_CASE("numbers stay as they are, or are standardized") {
  LayerExample vector = number_example(R"({"type": "vector", "dims": 7})", {3, 1, 1, 7});
  vector.volume_preserving = true;
  check_layer(vector);
  LayerExample map = number_example(R"({"type": "map", "height": 2, "width": 3, "channels": 5})", {2, 2, 3, 5});
  map.volume_preserving = true;
  check_layer(map);
  check_layer(number_example(R"({"type": "vector", "dims": 7, "standardize": true})", {3, 1, 1, 7}));
}

TEST_CASE("bases are differentiable densities of what comes back from their latents") {
  for (const MapShape shape : {MapShape{3, 2, 3, 2}, MapShape{2, 1, 1, 5}, MapShape{2, 1, 1, 1}}) {
    for (const std::string json : {R"("standard_normal")", R"("diagonal_normal")", R"({"type": "mixture"})",
                                   R"({"type": "mixture", "components": 5, "spread": 1})"}) {
      check_layer(base_example(json, shape));
    }
  }
  check_layer_at_size(base_example(R"("diagonal_normal")", {2, 28, 28, 3}));
  check_layer_at_size(base_example(R"({"type": "mixture", "components": 3})", {2, 7, 7, 12}));
}

TEST_CASE("bases have the densities of their names") {
  const MapShape shape{3, 2, 1, 3};
  const int size = int(shape.image_size());
  for (const std::string json :
       {R"("standard_normal")", R"("diagonal_normal")", R"({"type": "mixture", "components": 3})"}) {
    INFO(json);
    const LayerExample example = base_example(json, shape);
    RunningLayer base(example, Device::kReference, DType::kF64);
    const Parameters& p = base.parameters();
    const auto values = [&](int i) { return to_doubles(p.value(i)); };
    const std::vector<double> got = base.forward(example.x, shape).logdet;
    for (int i = 0; i < shape.n; ++i) {
      const double* const z = &example.x[i * size];
      const auto normal = [&](const double* mean, const double* log_scale) {
        double sum = 0;
        for (int j = 0; j < size; ++j) {
          const double distance = (z[j] - mean[j]) * std::exp(-log_scale[j]);
          sum -= (distance * distance + std::log(2 * M_PI)) / 2 + log_scale[j];
        }
        return sum;
      };
      double want = standard_normal_log_density(z, size);
      if (p.count() == 2) {  // z -> (z + bias) exp(log_scale)
        REQUIRE(p[0].name == "base.log_scale");
        std::vector<double> mean = values(1), log_scale = values(0);
        for (double& value : mean) value = -value;
        for (double& value : log_scale) value = -value;
        want = normal(mean.data(), log_scale.data());
      } else if (p.count() == 3) {
        REQUIRE(p[0].name == "base.weight_logits");
        const std::vector<double> logits = values(0), mean = values(1), log_scale = values(2);
        double density = 0, sum = 0;
        for (int k = 0; k < 3; ++k) sum += std::exp(logits[k]);
        for (int k = 0; k < 3; ++k) {
          density += std::exp(logits[k]) / sum * std::exp(normal(&mean[k * size], &log_scale[k * size]));
        }
        want = std::log(density);
      }
      CHECK(got[i] == Approx(want).epsilon(1e-12));  // sums of a few terms
    }
  }
}

// --- batch norm in training ---

TEST_CASE("batch norm in training takes the batch to mean 0 and variance 1") {
  const MapShape shape{4, 3, 2, 5};
  const LayerExample example = layer_example(R"({"type": "batch_norm", "affine": false})", shape);
  for (const auto& [device, type] :
       {std::pair{Device::kReference, DType::kF64}, std::pair{Device::kCpu, DType::kF32}}) {
    RunningLayer layer(example, device, type);
    layer.set_batch_statistics(true);
    const LayerResult result = layer.forward(example.x, shape);
    const int m = shape.n * int(shape.pixels());
    double logdet = 0;
    for (int k = 0; k < shape.c; ++k) {
      double mean = 0, square = 0, x_mean = 0, x_square = 0;
      for (int i = 0; i < m; ++i) {
        const double z = result.z[i * shape.c + k], x = example.x[i * shape.c + k];
        mean += z / m, square += z * z / m, x_mean += x / m, x_square += x * x / m;
      }
      const double var = x_square - x_mean * x_mean;
      CHECK(std::abs(mean) < 1e-14);                                        // a sum of 24 numbers of order 1
      CHECK(square == Approx(var / (var + kBatchNormEps)).epsilon(1e-12));  // eps takes a little
      logdet -= double(shape.pixels()) * std::log(var + kBatchNormEps) / 2;
    }
    for (const double got : result.logdet) CHECK(got == Approx(logdet).epsilon(1e-12));
  }
}

TEST_CASE("gradients go through the statistics of a batch") {
  for (const std::string& json :
       {std::string(R"({"type": "batch_norm"})"), std::string(R"({"type": "batch_norm", "affine": false, "eps": 0.1})"),
        affine_coupling("checkerboard", false, kResnet),
        affine_coupling("channel", true, R"({"type": "resnet", "hidden": 4, "blocks": 2})")}) {
    const LayerExample example = layer_example(json, {3, 3, 2, 3});
    INFO(json);
    check_gradient_values(example, true);
  }
}

TEST_CASE("training with batch norm gives the same bits at any number of threads") {
  for (const std::string& json :
       {std::string(R"({"type": "batch_norm"})"), affine_coupling("checkerboard", false, kResnet)}) {
    const LayerExample example = layer_example(json, {5, 7, 5, 3});
    const auto everything = [&](int threads) {
      RunningLayer layer(example, Device{.threads = threads}, DType::kF32);
      layer.set_batch_statistics(true);
      const LayerResult forward = layer.forward(example.x, example.shape);
      Outputs all{forward.z, forward.logdet};
      for (const auto& gradient : layer.gradients(example.x, example.shape)) all.push_back(gradient);
      return all;
    };
    const Outputs one = everything(1);
    for (const int threads : {2, 3}) CHECK(everything(threads) == one);
  }
}

TEST_CASE("batch norm refuses to train on a batch of one") {
  for (const std::string& json :
       {std::string(R"({"type": "batch_norm"})"), affine_coupling("checkerboard", false, kResnet)}) {
    LayerExample example = layer_example(json, {1, 3, 2, 3});
    RunningLayer layer(example, Device::kCpu, DType::kF32);
    layer.forward(example.x, example.shape);
    layer.set_batch_statistics(true);
    CHECK_THAT(error_of([&] { layer.forward(example.x, example.shape); }), Catch::Contains("at least two images"));
  }
}

// --- the kernels of the GPU, on the emulator ---

TEST_CASE("layers on the GPU's kernels are those of the reference", "[gpu]") {
  const MapShape shape{2, 2, 3, 3};
  for (const PlainLayer& layer : kPlainLayers) check_layer_on_gpu(plain_example(layer, shape));
  check_layer_on_gpu(layer_example(R"("squeeze")", {2, 2, 4, 3}));
  check_layer_on_gpu(layer_example(R"({"type": "squeeze", "order": "pixel"})", {2, 2, 4, 3}));
  check_layer_on_gpu(layer_example(R"({"type": "split", "prior": "learned"})", shape));
  for (const std::string& network :
       {gated_resnet(4, "2024", 1), gated_resnet(4, "jax", 1), mlp("[6]", "relu", "separate"), kResnet, kGlowCnn}) {
    check_layer_on_gpu(layer_example(coupling(list_mask(shape), false, kLearnedTanh, network), shape));
  }
  for (const std::string transformer :
       {R"("additive")", R"({"type": "affine", "bound": "sigmoid", "order": "shift_first"})",
        R"({"type": "affine", "bound": "tanh"})"}) {
    check_layer_on_gpu(layer_example(coupling(R"("alternating")", true, transformer, mlp("[5]")), shape));
  }
  const std::string noise = affine_coupling("checkerboard", false, kGlowCnn);
  check_layer_on_gpu(dequantization_example(R"({"type": "variational", "layers": [)" + noise + "]}", shape, 32));
  check_layer_on_gpu(number_example(R"({"type": "vector", "dims": 3, "standardize": true})", {2, 1, 1, 3}));
  for (const std::string json : {R"("standard_normal")", R"("diagonal_normal")", R"("mixture")"}) {
    check_layer_on_gpu(base_example(json, shape));
  }
}

TEST_CASE("layers say the shape that they return") {
  const MapShape in{2, 4, 6, 4};
  for (const std::string& json : {affine_coupling("channel", false, gated_resnet(4, "2024")),
                                  std::string(R"({"type": "squeeze"})"), std::string(R"({"type": "split"})")}) {
    INFO(json);
    Parameters parameters(Device::kReference, DType::kF64);
    const auto layer = make_layer(json, in, parameters);
    parameters.allocate();
    Tape tape(Device::kReference);
    tape.start(false);
    const ParameterVars vars(tape, parameters);
    const Var x = constant(tape, std::vector<double>(in.size()), in);
    FlowPass pass{tape, vars, DType::kF64, zeros(tape, in.n), {}, false};
    CHECK(tape.value(layer->forward(pass, x)).shape() == Shape(layer->output_shape(in)));
  }
}

TEST_CASE("a new coupling layer is the identity") {
  const MapShape shape{2, 3, 3, 2};
  Parameters parameters(Device::kReference, DType::kF64);
  const auto coupling = make_layer(affine_coupling("checkerboard", false, gated_resnet(4, "2024")), shape, parameters);
  parameters.allocate();
  parameters.initialize(5);
  Tape tape(Device::kReference);
  tape.start(true);
  const ParameterVars vars(tape, parameters);
  const std::vector<double> x = normals(shape, 4);
  FlowPass pass{tape, vars, DType::kF64, zeros(tape, shape.n), {}, false};
  CHECK(to_doubles(tape.value(coupling->forward(pass, constant(tape, x, shape)))) == x);
  CHECK(to_doubles(tape.value(pass.logdet)) == std::vector<double>(shape.n, 0.0));
}

}  // namespace flowsmith::core::testing
