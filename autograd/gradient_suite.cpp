#include "autograd/gradient_suite.h"

#include <cmath>

#include "autograd/ops.h"
#include "kernels/noise.h"

namespace flowsmith {
namespace {

/// An op with the inputs to check it at.
struct OpExample {
  std::string name;
  std::vector<NamedArray> inputs;
  Computation computation;
  double float_bound = kFloatGradientBound;
};

/// The float bound of ops with a layer norm over so many channels. Over one or two channels the normalised values are
/// constants, so that in exact arithmetic all but eps = 1e-5 of the gradient cancels, and what rounding leaves of it is
/// multiplied by up to 1/sqrt(eps) = 316.
double layer_norm_float_bound(int channels) { return channels <= 2 ? 316 * kFloatGradientBound : kFloatGradientBound; }

using Inputs = std::span<const Var>;
using Results = std::vector<Var>;

/// Inputs with values of their own: each call draws from the next stream.
class RandomInputs {
 public:
  /// Normals with this standard deviation, at least 1e-3 away from 0: there the second derivative of ELU jumps, and a
  /// difference across the jump is no derivative.
  NamedArray normal(std::string name, const Shape& shape, double deviation = 1) {
    NamedArray array{std::move(name), shape, std::vector<double>(shape.size())};
    normal_noise(array.values.data(), &kIndex, next_stream(), deviation, 1, shape.size(), Reference{});
    for (double& value : array.values) value += std::copysign(1e-3, value);
    return array;
  }

  /// Uniform in [0.05, 0.95]: noise as dequantization takes it, but away from the ends, where a step of the
  /// differences would be a large part of the distance that the logit sees.
  NamedArray noise(std::string name, const Shape& shape) {
    NamedArray array{std::move(name), shape, std::vector<double>(shape.size())};
    uniform_noise(array.values.data(), &kIndex, next_stream(), 1, shape.size(), Reference{});
    for (double& value : array.values) value = 0.05 + 0.9 * value;
    return array;
  }

 private:
  static constexpr std::uint32_t kIndex = 0;

  NoiseStream next_stream() { return {20240608, NoisePurpose::kWeights, draw_++}; }

  std::uint32_t draw_ = 0;
};

/// The same images at every call; black and white are among them.
Tensor test_images(Tape& tape, MapShape map) {
  const Tensor images = tape.arena().tensor(DType::kU8, map);
  std::vector<std::uint8_t> pixels(map.size());
  for (std::size_t i = 0; i < map.size(); ++i) pixels[i] = std::uint8_t(i % 3 == 0 ? 255 * (i % 2) : 37 * i);
  upload(tape.device(), images, pixels.data());
  return images;
}

Var zero_logdet(Tape& tape, int n) {
  const Var logdet = tape.output(DType::kF64, Shape{n}, true);
  fill_zero(tape.device(), tape.value(logdet));
  return logdet;
}

std::string with_shape(const std::string& name, MapShape map) { return name + " " + Shape(map).to_string(); }

std::string mask_text(Mask mask) {
  return std::string(mask.kind == MaskKind::kCheckerboard ? "checkerboard" : "channel") +
         (mask.invert ? " inverted" : "");
}

constexpr MapShape kMaps[] = {{1, 1, 1, 1}, {1, 3, 5, 2}, {3, 5, 3, 3}, {3, 1, 3, 8}};
constexpr MapShape kEvenMaps[] = {{1, 2, 2, 1}, {3, 2, 6, 3}, {1, 4, 2, 8}};
constexpr Mask kMasks[] = {{MaskKind::kCheckerboard, false},
                           {MaskKind::kCheckerboard, true},
                           {MaskKind::kChannel, false},
                           {MaskKind::kChannel, true}};

void add_dequantization(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const MapShape map : kMaps) {
    examples.push_back(
        {with_shape("dequantize", map), {random.noise("u", map)}, [map](Tape& tape, Inputs in) -> Results {
           const Var logdet = zero_logdet(tape, map.n);
           return {dequantize(tape, test_images(tape, map), in[0], logdet), logdet};
         }});
    examples.push_back(
        {with_shape("sigmoid", map), {random.normal("v", map, 2)}, [map](Tape& tape, Inputs in) -> Results {
           const Var logdet = zero_logdet(tape, map.n);
           return {sigmoid(tape, in[0], logdet), logdet};
         }});
  }
}

void add_couplings(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const Mask mask : kMasks) {
    for (const MapShape map : kMaps) {
      for (const bool with_image : {false, true}) {
        examples.push_back({with_shape("conditioner_input " + mask_text(mask) + (with_image ? " with image" : ""), map),
                            {random.normal("z", map)},
                            [=](Tape& tape, Inputs in) -> Results {
                              const Tensor image = with_image ? test_images(tape, {map.n, map.h, map.w, 1}) : Tensor{};
                              return {conditioner_input(tape, in[0], image, mask, tape.value(in[0]).dtype())};
                            }});
      }
      examples.push_back({with_shape("coupling " + mask_text(mask), map),
                          {random.normal("z", map), random.normal("st", MapShape{map.n, map.h, map.w, 2 * map.c}),
                           random.normal("scaling_factor", Shape{map.c}, 0.5)},
                          [=](Tape& tape, Inputs in) -> Results {
                            const Var logdet = zero_logdet(tape, map.n);
                            return {coupling(tape, in[0], in[1], in[2], logdet, mask), logdet};
                          }});
    }
  }
}

void add_convolutions(std::vector<OpExample>& examples, RandomInputs& random) {
  constexpr struct {
    MapShape x;
    int c_out;
  } kSizes[] = {{{1, 1, 1, 1}, 8}, {{1, 3, 5, 2}, 3}, {{3, 5, 3, 3}, 1}, {{3, 1, 3, 8}, 2}};
  for (const int kernel : {3, 1}) {
    for (const bool elu : {false, true}) {
      for (const auto& [map, c_out] : kSizes) {
        const int c_in = map.c * (elu ? 2 : 1);
        const Shape weight{kernel, kernel, c_in, c_out};
        const std::string size = std::to_string(kernel);
        examples.push_back(
            {with_shape("conv " + size + "x" + size + (elu ? " concat_elu" : ""), map) + " to " + std::to_string(c_out),
             {random.normal("x", map), random.normal("weight", weight, 1 / std::sqrt(double(kernel * kernel * c_in))),
              random.normal("bias", Shape{c_out})},
             [=](Tape& tape, Inputs in) -> Results { return {conv(tape, in[0], in[1], in[2], elu)}; }});
      }
    }
  }
}

void add_gated_blocks(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const bool elu : {true, false}) {
    for (const MapShape map : kMaps) {
      const int c = map.c, c_in = elu ? 2 * c : c;
      examples.push_back(
          {with_shape(std::string("gated_block ") + (elu ? "2024" : "2022"), map),
           {random.normal("x", map), random.normal("weight3", Shape{3, 3, c_in, c}, 1 / std::sqrt(9.0 * c_in)),
            random.normal("bias3", Shape{c}),
            random.normal("weight1", Shape{1, 1, 2 * c, 2 * c}, 1 / std::sqrt(2.0 * c)),
            random.normal("bias1", Shape{2 * c}), random.normal("gamma", Shape{c}), random.normal("beta", Shape{c})},
           [=](Tape& tape, Inputs in) -> Results {
             return {gated_block(tape, in[0], {in[1], in[2], in[3], in[4], in[5], in[6]}, elu)};
           },
           layer_norm_float_bound(c)});
    }
  }
}

void add_pointwise(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const MapShape map : kMaps) {
    const Shape channels{map.c};
    examples.push_back({with_shape("concat_elu", map), {random.normal("x", map)}, [](Tape& tape, Inputs in) -> Results {
                          return {concat_elu(tape, in[0])};
                        }});
    examples.push_back({with_shape("gate", map),
                        {random.normal("x", map), random.normal("vg", MapShape{map.n, map.h, map.w, 2 * map.c})},
                        [](Tape& tape, Inputs in) -> Results { return {gate(tape, in[0], in[1])}; }});
    examples.push_back({with_shape("layer_norm", map),
                        {random.normal("x", map), random.normal("gamma", channels), random.normal("beta", channels)},
                        [](Tape& tape, Inputs in) -> Results { return {layer_norm(tape, in[0], in[1], in[2])}; },
                        layer_norm_float_bound(map.c)});
  }
}

void add_multiscale(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const MapShape map : kEvenMaps) {
    examples.push_back({with_shape("squeeze", map), {random.normal("z", map)}, [](Tape& tape, Inputs in) -> Results {
                          return {squeeze(tape, in[0])};
                        }});
  }
  for (const MapShape map : kMaps) {
    if (map.c >= 2) {
      examples.push_back({with_shape("split", map), {random.normal("z", map)}, [map](Tape& tape, Inputs in) -> Results {
                            const Var logp = zero_logdet(tape, map.n);
                            return {split(tape, in[0], logp, nullptr), logp};
                          }});
    }
    examples.push_back(
        {with_shape("gaussian_log_density", map), {random.normal("z", map)}, [map](Tape& tape, Inputs in) -> Results {
           const Var logp = zero_logdet(tape, map.n);
           gaussian_log_density(tape, in[0], logp);
           return {logp};
         }});
  }
}

void add_likelihood(std::vector<OpExample>& examples, RandomInputs& random) {
  // log_prob is f64 even where everything else is f32, so the check begins one op before it.
  for (const int n : {1, 3}) {
    const MapShape map{n, 3, 5, 1};
    examples.push_back(
        {with_shape("mean_bits_per_dim", map), {random.normal("z", map)}, [=](Tape& tape, Inputs in) -> Results {
           const Var log_prob = zero_logdet(tape, n);
           gaussian_log_density(tape, in[0], log_prob);
           return {mean_bits_per_dim(tape, log_prob, map.image_size())};
         }});
  }
}

std::vector<OpExample> op_examples() {
  std::vector<OpExample> examples;
  RandomInputs random;
  add_dequantization(examples, random);
  add_couplings(examples, random);
  add_convolutions(examples, random);
  add_gated_blocks(examples, random);
  add_pointwise(examples, random);
  add_multiscale(examples, random);
  add_likelihood(examples, random);
  return examples;
}

}  // namespace

std::vector<GradientCase> op_difference_cases() {
  std::vector<GradientCase> cases;
  for (OpExample& e : op_examples()) {
    std::string name = e.name;
    cases.push_back({std::move(name), kGradientBound,
                     [example = std::move(e)] { return check_gradients(example.inputs, example.computation); }});
  }
  return cases;
}

std::vector<GradientCase> op_float_cases(Device device) {
  std::vector<GradientCase> cases;
  for (OpExample& e : op_examples()) {
    cases.push_back({device_name(device) + " f32 " + e.name, e.float_bound,
                     [device, example = e] { return compare_gradients(device, example.inputs, example.computation); }});
  }
  return cases;
}

}  // namespace flowsmith
