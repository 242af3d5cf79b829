// Every op says in one line which tensor does not fit.
#include <catch2/catch.hpp>

#include "tests/autograd/tape_testing.h"
#include "tests/support/error_of.h"

namespace flowsmith::core::testing {
namespace {

constexpr Mask kMask{MaskKind::kCheckerboard, false};

/// A tape with constants of any type and shape on it.
class Operands {
 public:
  explicit Operands(Device device = Device::kReference) : tape(device) { tape.start(true); }

  Tensor tensor(const Shape& shape, DType dtype = DType::kF64) { return tape.arena().tensor(dtype, shape); }
  Var operator()(const Shape& shape, DType dtype = DType::kF64) { return tape.constant(tensor(shape, dtype)); }

  Tape tape;
};

/// `call` fails and its message has `text` in it.
template <class Call>
void check_error(const char* text, Call&& call) {
  const std::string message = error_of(call);
  INFO(message);
  CHECK(message.find(text) != std::string::npos);
}

const Shape kMap{2, 4, 6, 3};

}  // namespace

TEST_CASE("dequantization names the tensor that does not fit") {
  Operands v;
  const Tensor images = v.tensor(kMap, DType::kU8);
  const Var u = v(kMap), logdet = v(Shape{2});
  check_error("images", [&] { dequantize(v.tape, v.tensor(Shape{2, 4, 6, 1}, DType::kU8), u, logdet); });
  check_error("images", [&] { dequantize(v.tape, v.tensor(kMap), u, logdet); });
  check_error("logdet", [&] { dequantize(v.tape, images, u, v(Shape{3})); });
  check_error("logdet", [&] { dequantize(v.tape, images, u, v(Shape{2}, DType::kF32)); });
  check_error("four dimensions", [&] { dequantize(v.tape, images, v(Shape{2, 72}), logdet); });
  for (int levels : {0, 1, 100, 512}) {
    check_error("power of two", [&] { dequantize(v.tape, images, u, logdet, {levels}); });
    check_error("power of two", [&] { conditioner_input(v.tape, u, images, kMask, DType::kF64, levels); });
  }
  check_error("alpha", [&] { dequantize(v.tape, images, u, logdet, {256, 1.0}); });
  check_error("alpha", [&] { logit(v.tape, u, logdet, {256, -0.1}); });
  check_error("logdet", [&] { logit(v.tape, u, v(Shape{})); });
  check_error("logdet", [&] { sigmoid(v.tape, u, v(Shape{2, 1}), 0); });
  check_error("f32 or f64", [&] { sigmoid(v.tape, v(kMap, DType::kU8), logdet, 0); });
}

TEST_CASE("couplings name the tensor that does not fit") {
  Operands v;
  const Var z = v(kMap), st = v(Shape{2, 4, 6, 6}), scaling = v(Shape{3}), logdet = v(Shape{2}), none{};
  const AffineForm form, tanh{ScaleBound::kTanh};
  const auto forward = [&](Var net, Var factor, Var sums, Mask mask, AffineForm f) {
    affine_coupling(v.tape, z, net, factor, sums, mask, f);
  };
  const auto inverse = [&](Var net, Var factor, Var sums, AffineForm f) {
    affine_coupling_inverse(v.tape, z, net, factor, sums, kMask, f);
  };
  check_error("conditioner's output", [&] { forward(v(kMap), scaling, logdet, kMask, form); });
  check_error("scaling_factor", [&] { forward(st, v(Shape{1}), logdet, kMask, form); });
  check_error("scaling_factor", [&] { forward(st, v(Shape{3}, DType::kF32), logdet, kMask, form); });
  check_error("learned tanh", [&] { forward(st, none, logdet, kMask, form); });
  check_error("learned tanh", [&] { forward(st, scaling, logdet, kMask, tanh); });
  check_error("logdet", [&] { forward(st, scaling, v(Shape{1}), kMask, form); });
  check_error("a mask has bits", [&] { forward(st, scaling, logdet, {MaskKind::kList}, form); });
  check_error("conditioner's output", [&] { inverse(v(kMap), scaling, none, form); });
  check_error("scaling_factor", [&] { inverse(st, v(Shape{6}), none, form); });
  check_error("logdet", [&] { inverse(st, scaling, v(Shape{2}, DType::kF32), form); });
  check_error("conditioner's output", [&] { additive_coupling(v.tape, z, st, kMask); });
  check_error("conditioner's output", [&] { additive_coupling_inverse(v.tape, z, v(Shape{2, 6, 4, 3}), kMask); });
  check_error("a mask has bits", [&] { additive_coupling(v.tape, z, z, {MaskKind::kList}); });
  check_error("a mask has bits", [&] { conditioner_input(v.tape, z, {}, {MaskKind::kList}, DType::kF64); });
  check_error("image", [&] {
    conditioner_input(v.tape, z, v.tensor(Shape{2, 6, 4, 1}, DType::kU8), kMask, DType::kF64);
  });
  check_error("image", [&] { conditioner_input(v.tape, z, v.tensor(Shape{2, 4, 6, 1}), kMask, DType::kF64); });
  check_error("f64 path", [&] { conditioner_input(v.tape, v(kMap, DType::kF32), {}, kMask, DType::kF64); });
}

TEST_CASE("channel_affine names the tensor that does not fit") {
  Operands v;
  const Var z = v(kMap), channels = v(Shape{3}), logdet = v(Shape{2});
  check_error("log_scale", [&] { channel_affine(v.tape, z, v(Shape{1}), channels, 1, logdet); });
  check_error("bias", [&] { channel_affine(v.tape, z, channels, v(Shape{2}), 1, logdet); });
  check_error("bias", [&] { channel_affine(v.tape, z, channels, v(Shape{3}, DType::kF32), 1, logdet); });
  check_error("logdet", [&] { channel_affine(v.tape, z, channels, channels, 1, v(Shape{3})); });
  check_error("log_scale", [&] { channel_affine_inverse(v.tape, z, v(Shape{6}), {}, 1, {}); });
  check_error("logdet", [&] { channel_affine_inverse(v.tape, z, channels, {}, 1, v(Shape{2}, DType::kF32)); });
  check_error("f64 path", [&] { channel_affine(v.tape, v(kMap, DType::kF32), channels, channels, 1, {}); });
}

TEST_CASE("batch norm names what does not fit") {
  Operands v;
  const Var x = v(kMap), channels = v(Shape{3}), logdet = v(Shape{2});
  const ChannelMoments moments{v.tensor(Shape{3}), v.tensor(Shape{3})};
  const ChannelMoments bad_mean{v.tensor(Shape{2}), moments.var},
      bad_var{moments.mean, v.tensor(Shape{3}, DType::kF32)};
  check_error("at least two images", [&] { batch_norm(v.tape, v(Shape{1, 4, 6, 3}), {}, {}, {}, moments); });
  check_error("mean", [&] { batch_norm(v.tape, x, {}, {}, logdet, bad_mean); });
  check_error("variance", [&] { batch_norm_fixed(v.tape, x, {}, {}, logdet, bad_var); });
  check_error("variance", [&] { batch_norm_inverse(v.tape, x, logdet, bad_var); });
  check_error("gamma and beta together", [&] { batch_norm(v.tape, x, channels, {}, {}, moments); });
  check_error("channel_affine", [&] { batch_norm(v.tape, x, channels, channels, logdet, moments); });
  check_error("no bijection", [&] { batch_norm(v.tape, x, {}, {}, logdet, moments, 0.1, Activation::kRelu); });
  check_error("gamma", [&] { batch_norm(v.tape, x, v(Shape{2}), channels, {}, moments); });
  check_error("beta", [&] { batch_norm(v.tape, x, channels, v(Shape{3}, DType::kF32), {}, moments); });
  check_error("logdet", [&] { batch_norm(v.tape, x, {}, {}, v(Shape{3}), moments); });
  check_error("eps", [&] { batch_norm(v.tape, x, {}, {}, logdet, moments, 0); });
  const Tensor scalar = v.tensor(Shape{});
  check_error("loss", [&] { update_running(Device::kReference, moments, moments, 2, 0.1, moments.mean, scalar); });
  check_error("squared norm", [&] { update_running(Device::kReference, moments, moments, 2, 0.1, scalar, {}); });
  check_error("mean", [&] { update_running(Device::kReference, moments, bad_mean, 2, 0.1, scalar, scalar); });
  check_error("two values", [&] { update_running(Device::kReference, moments, moments, 1, 0.1, scalar, scalar); });
}

TEST_CASE("a mixture names the tensor that does not fit") {
  Operands v;
  const Var z = v(kMap), logits = v(Shape{5}), of_elements = v(Shape{5, 72}), logp = v(Shape{2});
  const auto density = [&](Var weight_logits, Var mean, Var log_scale, Var sum) {
    mixture_log_density(v.tape, z, weight_logits, mean, log_scale, sum);
  };
  check_error("at least one component", [&] { density(v(Shape{0}), of_elements, of_elements, logp); });
  check_error("weight_logits", [&] { density(v(Shape{5, 1}), of_elements, of_elements, logp); });
  check_error("mean", [&] { density(logits, v(Shape{5, 71}), of_elements, logp); });
  check_error("mean", [&] { density(logits, v(Shape{5, 72}, DType::kF32), of_elements, logp); });
  check_error("log_scale", [&] { density(logits, of_elements, v(Shape{4, 72}), logp); });
  check_error("logp", [&] { density(logits, of_elements, of_elements, v(Shape{3})); });
}

TEST_CASE("convolutions name the tensor that does not fit") {
  Operands v;
  const Var x = v(kMap), weight = v(Shape{3, 3, 3, 5}), bias = v(Shape{5});
  check_error("window", [&] { conv(v.tape, x, v(Shape{2, 2, 3, 5}), bias, false); });
  check_error("window", [&] { conv(v.tape, x, v(Shape{3, 1, 3, 5}), bias, false); });
  check_error("window", [&] { conv(v.tape, x, v(Shape{3, 5}), bias, false); });
  check_error("channels", [&] { conv(v.tape, x, v(Shape{1, 1, 4, 5}), bias, false); });
  check_error("channels", [&] { conv(v.tape, x, weight, bias, true); });
  check_error("channels", [&] { conv(v.tape, x, v(Shape{3, 3, 6, 5}), bias, false); });
  check_error("bias", [&] { conv(v.tape, x, weight, v(Shape{3}), false); });
  check_error("f32", [&] { conv(v.tape, x, v(Shape{3, 3, 3, 5}, DType::kF32), bias, false); });
  check_error("four dimensions", [&] { conv(v.tape, v(Shape{2, 4, 18}), weight, bias, false); });
}

TEST_CASE("a gated block names the weight that does not fit") {
  Operands v;
  const Var x = v(kMap);
  for (const bool elu : {false, true}) {
    const GatedBlockVars good{
        v(Shape{3, 3, elu ? 6 : 3, 3}), v(Shape{3}), v(Shape{1, 1, 6, 6}), v(Shape{6}), v(Shape{3}), v(Shape{3})};
    CHECK_NOTHROW(gated_block(v.tape, x, good, elu));
    const auto check = [&](const char* text, auto member, const Shape& wrong) {
      GatedBlockVars bad = good;
      bad.*member = v(wrong);
      check_error(text, [&] { gated_block(v.tape, x, bad, elu); });
    };
    check("3x3 weight", &GatedBlockVars::weight3, Shape{3, 3, elu ? 3 : 6, 3});
    check("3x3 bias", &GatedBlockVars::bias3, Shape{6});
    check("1x1 weight", &GatedBlockVars::weight1, Shape{1, 1, 3, 6});
    check("1x1 bias", &GatedBlockVars::bias1, Shape{3});
    check("gamma", &GatedBlockVars::gamma, Shape{1});
    check("beta", &GatedBlockVars::beta, Shape{1, 3});
  }
}

TEST_CASE("pointwise ops name the tensor that does not fit") {
  Operands v;
  const Var x = v(kMap), channels = v(Shape{3});
  check_error("four dimensions", [&] { concat_elu(v.tape, v(Shape{2, 72})); });
  check_error("value and gate", [&] { gate(v.tape, x, x); });
  check_error("gamma", [&] { layer_norm(v.tape, x, v(Shape{2}), channels); });
  check_error("beta", [&] { layer_norm(v.tape, x, channels, v(Shape{4})); });
}

TEST_CASE("ops of dense networks name the tensor that does not fit") {
  Operands v;
  const Var x = v(kMap), weight = v(Shape{72, 5}), bias = v(Shape{5});
  const auto run = [&](Var in, Var w, Var b, MapShape output) { dense(v.tape, in, w, b, Activation::kElu, output); };
  CHECK_NOTHROW(run(x, weight, bias, {2, 1, 1, 5}));
  check_error("four dimensions", [&] { run(v(Shape{2, 72}), weight, bias, {2, 1, 1, 5}); });
  check_error("two dimensions", [&] { run(x, v(Shape{1, 1, 72, 5}), bias, {2, 1, 1, 5}); });
  check_error("dense layer's weight", [&] { run(x, v(Shape{71, 5}), bias, {2, 1, 1, 5}); });
  check_error("dense layer's weight", [&] { run(x, v(Shape{72, 5}, DType::kF32), bias, {2, 1, 1, 5}); });
  check_error("dense layer's bias", [&] { run(x, weight, v(Shape{72}), {2, 1, 1, 5}); });
  check_error("map", [&] { run(x, weight, bias, {2, 1, 1, 4}); });
  check_error("map", [&] { run(x, weight, bias, {1, 1, 2, 5}); });
  check_error("added", [&] { add(v.tape, x, v(Shape{2, 4, 6, 1})); });
  check_error("joined", [&] { concat_channels(v.tape, x, v(Shape{2, 4, 5, 3})); });
  check_error("joined", [&] { concat_channels(v.tape, x, v(kMap, DType::kF32)); });
  check_error("weight norm's g", [&] { weight_norm(v.tape, weight, v(Shape{72})); });
  check_error("output channels", [&] { weight_norm(v.tape, v(Shape{}), bias); });
}

TEST_CASE("squeeze and split name what does not fit") {
  Operands v;
  const Var sums = v(Shape{2});
  check_error("even", [&] { squeeze(v.tape, v(Shape{2, 3, 4, 1})); });
  check_error("even", [&] { squeeze(v.tape, v(Shape{2, 4, 3, 1})); });
  check_error("multiple of four", [&] { unsqueeze(v.tape, v(Shape{2, 4, 4, 6})); });
  check_error("two channels", [&] { split(v.tape, v(Shape{2, 4, 6, 1}), sums, nullptr); });
  check_error("logp", [&] { split(v.tape, v(kMap), v(Shape{3}), nullptr); });
  check_error("latent", [&] { unsplit(v.tape, v(kMap), v.tensor(Shape{2, 6, 4, 3})); });
  check_error("as many channels", [&] { unsplit(v.tape, v(kMap), v.tensor(Shape{2, 4, 6, 1})); });
}

TEST_CASE("permutations and channel matrices name what does not fit") {
  Operands v;
  const Var z = v(kMap), weight = v(Shape{3, 3}), channels = v(Shape{3}), sums = v(Shape{2});
  const Tensor order = v.tensor(Shape{3}, DType::kU32), sign = v.tensor(Shape{3});
  check_error("order", [&] { permute(v.tape, z, v.tensor(Shape{4}, DType::kU32)); });
  check_error("order", [&] { unpermute(v.tape, z, v.tensor(Shape{3}, DType::kF32)); });
  check_error("four dimensions", [&] { permute(v.tape, v(Shape{2, 3}), order); });
  check_error("weight", [&] { channel_matmul(v.tape, z, v(Shape{3, 4}), sums); });
  check_error("weight", [&] { channel_matmul_inverse(v.tape, z, v(Shape{2, 2}), Var{}); });
  check_error("logdet", [&] { channel_matmul(v.tape, z, weight, v(Shape{3})); });
  check_error("logdet", [&] { channel_matmul_inverse(v.tape, z, weight, v(Shape{2}, DType::kF32)); });
  check_error("determinant", [&] { log_abs_det(v.tape, v(Shape{3, 4})); });
  check_error("lower", [&] { compose_plu(v.tape, order, v(Shape{3, 4}), weight, channels, sign); });
  check_error("upper", [&] { compose_plu(v.tape, order, weight, v(Shape{3, 3}, DType::kF32), channels, sign); });
  check_error("log_scale", [&] { compose_plu(v.tape, order, weight, weight, v(Shape{4}), sign); });
  check_error("sign", [&] { compose_plu(v.tape, order, weight, weight, channels, v.tensor(Shape{2})); });
  check_error("permutation", [&] { compose_plu(v.tape, sign, weight, weight, channels, sign); });
  check_error("logdet", [&] { add_shared_logdet(v.tape, channels, 1, v(Shape{2}, DType::kF32)); });
}

TEST_CASE("densities name what does not fit") {
  Operands v;
  check_error("logp", [&] { gaussian_log_density(v.tape, v(kMap), v(Shape{1})); });
  check_error("log_prob", [&] { mean_negative_log_prob(v.tape, v(Shape{2}, DType::kF32), 72); });
  check_error("log_prob", [&] { mean_negative_log_prob(v.tape, v(Shape{2, 1}), 72); });
  check_error("one image", [&] { mean_negative_log_prob(v.tape, v(Shape{0}), 72); });
  check_error("a unit", [&] { mean_negative_log_prob(v.tape, v(Shape{2}), 0); });
}

TEST_CASE("the fast device refuses networks in f64") {
  Operands v(Device::kCpu);
  check_error("f64 on the reference device", [&] { concat_elu(v.tape, v(kMap)); });
  check_error("f64 on the reference device", [&] { conv(v.tape, v(kMap), v(Shape{1, 1, 3, 1}), v(Shape{1}), false); });
}

}  // namespace flowsmith::core::testing
