#include "autograd/gradient_suite.h"

#include <cmath>

#include "autograd/ops.h"
#include "kernels/likelihood.h"
#include "kernels/noise.h"
#include "kernels/permute.h"

namespace flowsmith::core {
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
    const NoiseStream stream = next_stream();
    normal_noise(array.values.data(), &kIndex, &stream, deviation, 1, shape.size(), Reference{});
    for (double& value : array.values) value += std::copysign(1e-3, value);
    return array;
  }

  /// Uniform in [0.05, 0.95]: noise as dequantization takes it, but away from the ends, where a step of the
  /// differences would be a large part of the distance that the logit sees.
  NamedArray noise(std::string name, const Shape& shape) {
    NamedArray array{std::move(name), shape, std::vector<double>(shape.size())};
    const NoiseStream stream = next_stream();
    uniform_noise(array.values.data(), &kIndex, &stream, 1, shape.size(), Reference{});
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
  constexpr const char* kNames[] = {"checkerboard", "channel", "alternating", "list"};
  return std::string(kNames[int(mask.kind)]) + (mask.invert ? " inverted" : "");
}

/// The mask with bits of its own on the tape, if it is a list.
Mask with_bits(Tape& tape, Mask mask, MapShape map) {
  if (mask.kind != MaskKind::kList) return mask;
  std::vector<std::uint8_t> list(map.image_size());
  for (std::size_t i = 0; i < list.size(); ++i) list[i] = i % 3 == 0 || i % 7 == 2;
  const std::vector<std::uint32_t> bits = mask_bits(list);
  const Tensor memory = tape.arena().tensor(DType::kU32, Shape{int(bits.size())});
  upload(tape.device(), memory, bits.data());
  mask.bits = memory.data<std::uint32_t>();
  return mask;
}

std::string form_text(AffineForm form) {
  constexpr const char* kBounds[] = {", no bound", ", tanh", "", ", sigmoid"};
  return std::string(kBounds[int(form.bound)]) + (form.shift_first ? "" : ", scale first");
}

constexpr MapShape kMaps[] = {{1, 1, 1, 1}, {1, 3, 5, 2}, {3, 5, 3, 3}, {3, 1, 3, 8}};
constexpr MapShape kEvenMaps[] = {{1, 2, 2, 1}, {3, 2, 6, 3}, {1, 4, 2, 8}};
constexpr Mask kMasks[] = {{MaskKind::kCheckerboard, false},
                           {MaskKind::kCheckerboard, true},
                           {MaskKind::kChannel, false},
                           {MaskKind::kChannel, true},
                           {MaskKind::kAlternatingChannel, false},
                           {MaskKind::kAlternatingChannel, true},
                           {MaskKind::kList, false},
                           {MaskKind::kList, true}};

void add_dequantization(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const MapShape map : kMaps) {
    examples.push_back(
        {with_shape("dequantize", map), {random.noise("u", map)}, [map](Tape& tape, Inputs in) -> Results {
           const Var logdet = zero_logdet(tape, map.n);
           return {dequantize(tape, test_images(tape, map), in[0], logdet), logdet};
         }});
    for (const double alpha : {0.0, 0.05}) {
      examples.push_back({with_shape(alpha == 0 ? "sigmoid" : "sigmoid, alpha taken back", map),
                          {random.normal("v", map, 2)},
                          [map, alpha](Tape& tape, Inputs in) -> Results {
                            const Var logdet = zero_logdet(tape, map.n);
                            return {sigmoid(tape, in[0], logdet, alpha), logdet};
                          }});
    }
  }
}

void add_conditioner_inputs(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const Mask mask : kMasks) {
    for (const MapShape map : kMaps) {
      for (const bool with_image : {false, true}) {
        examples.push_back({with_shape("conditioner_input " + mask_text(mask) + (with_image ? " with image" : ""), map),
                            {random.normal("z", map)},
                            [=](Tape& tape, Inputs in) -> Results {
                              const Tensor image = with_image ? test_images(tape, {map.n, map.h, map.w, 1}) : Tensor{};
                              const DType network = tape.value(in[0]).dtype();
                              return {conditioner_input(tape, in[0], image, with_bits(tape, mask, map), network)};
                            }});
      }
    }
  }
}

void add_affine_coupling(std::vector<OpExample>& examples, RandomInputs& random, MapShape map, Mask mask,
                         AffineForm form) {
  const bool learned = form.bound == ScaleBound::kLearnedTanh;
  std::vector<NamedArray> inputs{random.normal("z", map),
                                 random.normal("st", MapShape{map.n, map.h, map.w, 2 * map.c})};
  if (learned) inputs.push_back(random.normal("scaling_factor", Shape{map.c}, 0.5));
  examples.push_back(
      {with_shape("affine_coupling " + mask_text(mask) + form_text(form), map), std::move(inputs),
       [=](Tape& tape, Inputs in) -> Results {
         const Var logdet = zero_logdet(tape, map.n);
         return {affine_coupling(tape, in[0], in[1], learned ? in[2] : Var{}, logdet, with_bits(tape, mask, map), form),
                 logdet};
       }});
}

void add_couplings(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const MapShape map : kMaps) {
    for (const Mask mask : kMasks) {
      add_affine_coupling(examples, random, map, mask, AffineForm{});
      examples.push_back({with_shape("additive_coupling " + mask_text(mask), map),
                          {random.normal("z", map), random.normal("t", map)},
                          [=](Tape& tape, Inputs in) -> Results {
                            return {additive_coupling(tape, in[0], in[1], with_bits(tape, mask, map))};
                          }});
    }
    for (const ScaleBound bound :
         {ScaleBound::kNone, ScaleBound::kTanh, ScaleBound::kLearnedTanh, ScaleBound::kSigmoid}) {
      for (const bool shift_first : {true, false}) {
        if (bound == ScaleBound::kLearnedTanh && shift_first) continue;  // above
        for (const Mask mask : {Mask{MaskKind::kCheckerboard}, Mask{MaskKind::kList, true}}) {
          add_affine_coupling(examples, random, map, mask, {bound, shift_first, 0.75f});
        }
      }
    }
  }
}

void add_channel_affine(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const MapShape map : kMaps) {
    const Shape channels{map.c};
    examples.push_back(
        {with_shape("channel_affine in a flow", map),
         {random.normal("z", map), random.normal("log_scale", channels, 0.3), random.normal("bias", channels)},
         [map](Tape& tape, Inputs in) -> Results {
           const Var logdet = zero_logdet(tape, map.n);
           return {channel_affine(tape, in[0], in[1], in[2], 3, logdet), logdet};
         }});
    examples.push_back(
        {with_shape("channel_affine in a network", map),
         {random.normal("z", map), random.normal("log_scale", channels, 0.3)},
         [](Tape& tape, Inputs in) -> Results { return {channel_affine(tape, in[0], in[1], {}, 1, {})}; }});
  }
}

/// Statistics in the memory of the tape; what is in it does not matter.
ChannelMoments new_moments(Tape& tape, int c) {
  return {tape.arena().tensor(DType::kF64, Shape{c}), tape.arena().tensor(DType::kF64, Shape{c})};
}

/// Means of 0.5, variances from 1 on.
ChannelMoments fixed_moments(Tape& tape, int c) {
  const ChannelMoments moments = new_moments(tape, c);
  const std::vector<double> mean(c, 0.5);
  std::vector<double> var(c);
  for (int k = 0; k < c; ++k) var[k] = 1 + k;
  upload(tape.device(), moments.mean, mean.data());
  upload(tape.device(), moments.var, var.data());
  return moments;
}

void add_batch_norm(std::vector<OpExample>& examples, RandomInputs& random) {
  constexpr MapShape kBatches[] = {{2, 1, 1, 1}, {2, 3, 5, 2}, {3, 5, 3, 3}, {3, 1, 3, 8}};
  // Two values that nearly agree have second derivatives of 1/eps and more.
  constexpr double kEps = 0.1;
  for (const MapShape map : kBatches) {
    for (const bool of_batch : {true, false}) {
      const std::string name = of_batch ? "batch_norm" : "batch_norm_fixed";
      const auto apply = [=](Tape& tape, Var x, Var gamma, Var beta, Var logdet) {
        return of_batch ? batch_norm(tape, x, gamma, beta, logdet, new_moments(tape, map.c), kEps)
                        : batch_norm_fixed(tape, x, gamma, beta, logdet, fixed_moments(tape, map.c), kEps);
      };
      examples.push_back(
          {with_shape(name + " in a flow", map), {random.normal("x", map)}, [=](Tape& tape, Inputs in) -> Results {
             const Var logdet = zero_logdet(tape, map.n);
             return {apply(tape, in[0], {}, {}, logdet), logdet};
           }});
      examples.push_back(
          {with_shape(name + " in a network", map),
           {random.normal("x", map), random.normal("gamma", Shape{map.c}), random.normal("beta", Shape{map.c})},
           [=](Tape& tape, Inputs in) -> Results { return {apply(tape, in[0], in[1], in[2], {})}; }});
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

constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kElu, Activation::kTanh,
                                       Activation::kLeakyRelu};

std::string activation_text(Activation activation) {
  constexpr const char* kNames[] = {"none", "relu", "elu", "tanh", "leaky relu"};
  return kNames[int(activation)];
}

void add_dense(std::vector<OpExample>& examples, RandomInputs& random) {
  constexpr MapShape kOutputs[] = {{1, 1, 1, 3}, {1, 2, 1, 4}, {3, 1, 1, 2}, {3, 3, 1, 5}};
  for (std::size_t i = 0; i < std::size(kMaps); ++i) {
    const MapShape map = kMaps[i], output = kOutputs[i];
    const int in = int(map.image_size()), out = int(output.image_size());
    for (const Activation act : kActivations) {
      examples.push_back(
          {with_shape("dense " + activation_text(act), map) + " to " + Shape(output).to_string(),
           {random.normal("x", map), random.normal("weight", Shape{in, out}, 1 / std::sqrt(double(in))),
            random.normal("bias", Shape{out})},
           [=](Tape& tape, Inputs vars) -> Results { return {dense(tape, vars[0], vars[1], vars[2], act, output)}; }});
    }
  }
}

void add_joins(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const MapShape map : kMaps) {
    examples.push_back({with_shape("add", map),
                        {random.normal("a", map), random.normal("b", map)},
                        [](Tape& tape, Inputs in) -> Results { return {add(tape, in[0], in[1])}; }});
    examples.push_back({with_shape("add of one map to itself", map),
                        {random.normal("a", map)},
                        [](Tape& tape, Inputs in) -> Results { return {add(tape, in[0], in[0])}; }});
    examples.push_back({with_shape("concat_channels", map),
                        {random.normal("a", map), random.normal("b", MapShape{map.n, map.h, map.w, 3})},
                        [](Tape& tape, Inputs in) -> Results { return {concat_channels(tape, in[0], in[1])}; }});
  }
}

void add_weight_norm(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const Shape& shape : {Shape{1, 1}, Shape{5, 3}, Shape{1, 1, 3, 2}, Shape{3, 3, 2, 5}}) {
    const Shape channels{shape[shape.rank() - 1]};
    examples.push_back({"weight_norm " + shape.to_string(),
                        {random.normal("v", shape), random.normal("g", channels)},
                        [](Tape& tape, Inputs in) -> Results { return {weight_norm(tape, in[0], in[1])}; }});
  }
}

/// Ones and minus ones in turn, in the type of `like`.
Tensor test_signs(Tape& tape, Var like, int c) {
  const Tensor signs = tape.arena().tensor(tape.value(like).dtype(), Shape{c});
  dispatch_path(Device::kReference, signs.dtype(), [&](auto, auto zero) {
    std::vector<decltype(zero)> values(c);
    for (int i = 0; i < c; ++i) values[i] = decltype(zero)(i % 2 == 0 ? 1 : -1);
    upload(tape.device(), signs, values.data());
  });
  return signs;
}

Tensor test_order(Tape& tape, int c) {
  const Tensor order = tape.arena().tensor(DType::kU32, Shape{c});
  upload(tape.device(), order, random_order(c, 11).data());
  return order;
}

void add_linear_layers(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const MapShape map : {MapShape{1, 1, 1, 1}, {3, 5, 3, 3}, {2, 1, 3, 5}, {3, 3, 1, 12}}) {
    const int c = map.c;
    examples.push_back({with_shape("permute", map), {random.normal("z", map)}, [=](Tape& tape, Inputs in) -> Results {
                          return {permute(tape, in[0], test_order(tape, c))};
                        }});
    // Close to the identity, as a rotation is far from singular.
    NamedArray weight = random.normal("weight", Shape{c, c}, 0.3 / std::sqrt(double(c)));
    for (int i = 0; i < c; ++i) weight.values[i * c + i] += 1;
    examples.push_back(
        {with_shape("channel_matmul", map), {random.normal("z", map), weight}, [=](Tape& tape, Inputs in) -> Results {
           const Var logdet = zero_logdet(tape, map.n);
           return {channel_matmul(tape, in[0], in[1], logdet), logdet};
         }});
    examples.push_back({with_shape("channel_matmul of compose_plu", map),
                        {random.normal("z", map), random.normal("lower", Shape{c, c}, 0.5),
                         random.normal("upper", Shape{c, c}, 0.5), random.normal("log_scale", Shape{c}, 0.3)},
                        [=](Tape& tape, Inputs in) -> Results {
                          const Var logdet = zero_logdet(tape, map.n);
                          const Var composed =
                              compose_plu(tape, test_order(tape, c), in[1], in[2], in[3], test_signs(tape, in[1], c));
                          add_shared_logdet(tape, in[3], double(map.pixels()), logdet);
                          return {channel_matmul(tape, in[0], composed, Var{}), logdet};
                        }});
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

void add_mixtures(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const MapShape map : kMaps) {
    for (const int components : {1, 3}) {
      const Shape of_parameters{components, int(map.image_size())};
      examples.push_back({with_shape("mixture_log_density of " + std::to_string(components), map),
                          {random.normal("z", map), random.normal("weight_logits", Shape{components}),
                           random.normal("mean", of_parameters, 0.3), random.normal("log_scale", of_parameters, 0.3)},
                          [map](Tape& tape, Inputs in) -> Results {
                            const Var logp = zero_logdet(tape, map.n);
                            mixture_log_density(tape, in[0], in[1], in[2], in[3], logp);
                            return {logp};
                          }});
    }
  }
}

/// RealNVP's alpha and Glow's five bits.
void add_other_dequantizers(std::vector<OpExample>& examples, RandomInputs& random) {
  for (const MapShape map : kMaps) {
    examples.push_back(
        {with_shape("dequantize to 32 levels", map), {random.noise("u", map)}, [map](Tape& tape, Inputs in) -> Results {
           const Var logdet = zero_logdet(tape, map.n);
           return {dequantize(tape, test_images(tape, map), in[0], logdet, {32, 0.05}), logdet};
         }});
  }
}

void add_likelihood(std::vector<OpExample>& examples, RandomInputs& random) {
  // log_prob is f64 even where everything else is f32, so the check begins one op before it.
  for (const int n : {1, 3}) {
    const MapShape map{n, 3, 5, 1};
    examples.push_back(
        {with_shape("mean_negative_log_prob", map), {random.normal("z", map)}, [=](Tape& tape, Inputs in) -> Results {
           const Var log_prob = zero_logdet(tape, n);
           gaussian_log_density(tape, in[0], log_prob);
           return {mean_negative_log_prob(tape, log_prob, nats_per_bit_per_dim(map.image_size()))};
         }});
  }
}

void add_activated(std::vector<OpExample>& examples, RandomInputs& random) {
  constexpr MapShape kMap{3, 5, 3, 2};
  constexpr int kOut = 3;
  for (const Activation act : kActivations) {
    for (const int kernel : {3, 1}) {
      const Shape weight{kernel, kernel, kMap.c, kOut};
      const std::string size = std::to_string(kernel);
      examples.push_back(
          {with_shape("conv " + size + "x" + size + " " + activation_text(act), kMap),
           {random.normal("x", kMap), random.normal("weight", weight, 1 / std::sqrt(double(kernel * kernel * kMap.c))),
            random.normal("bias", Shape{kOut})},
           [=](Tape& tape, Inputs in) -> Results { return {conv(tape, in[0], in[1], in[2], false, {}, {}, act)}; }});
    }
    for (const bool of_batch : {true, false}) {
      examples.push_back(
          {with_shape((of_batch ? "batch_norm " : "batch_norm_fixed ") + activation_text(act), kMap),
           {random.normal("x", kMap), random.normal("gamma", Shape{kMap.c}), random.normal("beta", Shape{kMap.c})},
           [=](Tape& tape, Inputs in) -> Results {
             const Var y =
                 of_batch
                     ? batch_norm(tape, in[0], in[1], in[2], {}, new_moments(tape, kMap.c), kBatchNormEps, act)
                     : batch_norm_fixed(tape, in[0], in[1], in[2], {}, fixed_moments(tape, kMap.c), kBatchNormEps, act);
             return {y};
           }});
    }
  }
}

std::vector<OpExample> op_examples() {
  std::vector<OpExample> examples;
  RandomInputs random;
  add_dequantization(examples, random);
  add_conditioner_inputs(examples, random);
  add_couplings(examples, random);
  add_convolutions(examples, random);
  add_gated_blocks(examples, random);
  add_pointwise(examples, random);
  add_multiscale(examples, random);
  add_likelihood(examples, random);
  // New families come last: they leave those before them their values.
  add_channel_affine(examples, random);
  add_batch_norm(examples, random);
  add_dense(examples, random);
  add_joins(examples, random);
  add_weight_norm(examples, random);
  add_linear_layers(examples, random);
  add_mixtures(examples, random);
  add_other_dequantizers(examples, random);
  add_activated(examples, random);
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

}  // namespace flowsmith::core
