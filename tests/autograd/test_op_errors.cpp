// Every op says in one line which tensor does not fit.
#include <catch2/catch.hpp>

#include "tests/autograd/tape_testing.h"
#include "tests/support/error_of.h"

namespace flowsmith::testing {
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
  check_error("logdet", [&] { logit(v.tape, u, v(Shape{})); });
  check_error("logdet", [&] { sigmoid(v.tape, u, v(Shape{2, 1})); });
  check_error("f32 or f64", [&] { sigmoid(v.tape, v(kMap, DType::kU8), logdet); });
}

TEST_CASE("couplings name the tensor that does not fit") {
  Operands v;
  const Var z = v(kMap), st = v(Shape{2, 4, 6, 6}), scaling = v(Shape{3}), logdet = v(Shape{2});
  check_error("conditioner's output", [&] { coupling(v.tape, z, v(kMap), scaling, logdet, kMask); });
  check_error("scaling_factor", [&] { coupling(v.tape, z, st, v(Shape{1}), logdet, kMask); });
  check_error("scaling_factor", [&] { coupling(v.tape, z, st, v(Shape{3}, DType::kF32), logdet, kMask); });
  check_error("logdet", [&] { coupling(v.tape, z, st, scaling, v(Shape{1}), kMask); });
  check_error("conditioner's output", [&] { coupling_inverse(v.tape, z, v(kMap), scaling, kMask); });
  check_error("scaling_factor", [&] { coupling_inverse(v.tape, z, st, v(Shape{6}), kMask); });
  check_error("image", [&] {
    conditioner_input(v.tape, z, v.tensor(Shape{2, 6, 4, 1}, DType::kU8), kMask, DType::kF64);
  });
  check_error("image", [&] { conditioner_input(v.tape, z, v.tensor(Shape{2, 4, 6, 1}), kMask, DType::kF64); });
  check_error("f64 path", [&] { conditioner_input(v.tape, v(kMap, DType::kF32), {}, kMask, DType::kF64); });
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

TEST_CASE("densities name what does not fit") {
  Operands v;
  check_error("logp", [&] { gaussian_log_density(v.tape, v(kMap), v(Shape{1})); });
  check_error("log_prob", [&] { mean_bits_per_dim(v.tape, v(Shape{2}, DType::kF32), 72); });
  check_error("log_prob", [&] { mean_bits_per_dim(v.tape, v(Shape{2, 1}), 72); });
  check_error("one image", [&] { mean_bits_per_dim(v.tape, v(Shape{0}), 72); });
  check_error("one dimension", [&] { mean_bits_per_dim(v.tape, v(Shape{2}), 0); });
}

TEST_CASE("the fast device refuses networks in f64") {
  Operands v(Device::kCpu);
  check_error("f64 on the reference device", [&] { concat_elu(v.tape, v(kMap)); });
  check_error("f64 on the reference device", [&] { conv(v.tape, v(kMap), v(Shape{1, 1, 3, 1}), v(Shape{1}), false); });
}

}  // namespace flowsmith::testing
