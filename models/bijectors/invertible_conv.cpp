// Invertible 1x1 convolution, a linear layer over the channels (Glow, Kingma and Dhariwal 2018, section 3.2):
// kernels/channel_matmul.h, kernels/plu.h, docs/math/invertible_1x1_convolution.md. It starts at a random rotation.
#include <cmath>

#include "kernels/linear_algebra.h"
#include "kernels/plu.h"
#include "models/bijectors/bijector.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

std::vector<double> to_vector(const Parameters& parameters, int i) {
  std::vector<float> values(parameters[i].shape.size());
  parameters.to_file_order(parameters.values(), i, values.data());
  return {values.begin(), values.end()};
}

/// All of W is learned.
class Plain : public Bijector {
 public:
  explicit Plain(Builder& builder) : c_(builder.shape.c) {
    // Each layer has a rotation of its own: that of the seed and its place among the parameters.
    const int place = builder.parameters.count();
    weight_ = builder.parameters.add(
        builder.prefix + "weight", {c_, c_}, ParameterLayout::kMatrix,
        {0, 0, [c = c_, place](std::uint64_t seed) { return random_rotation(c, seed + std::uint64_t(place)); }});
  }

  Var forward(FlowPass& pass, Var x) const override {
    return channel_matmul(pass.tape, x, pass.parameters[weight_], pass.logdet);
  }
  Var inverse(FlowPass& pass, Var z) const override {
    return channel_matmul_inverse(pass.tape, z, pass.parameters[weight_], pass.logdet);
  }
  void weights_changed(const Parameters& parameters) override {
    if (!is_singular(to_vector(parameters, weight_), c_)) return;
    throw Error("its matrix is singular: there is no way back from it");
  }
  std::optional<double> condition_number(const Parameters& parameters) const override {
    return core::condition_number(to_vector(parameters, weight_), c_);
  }
  std::string description() const override { return "invertible 1x1 convolution"; }

 private:
  int c_, weight_;
};

/// W = P L (U + diag(sign * exp(log_scale))): L, U and log_scale are learned.
class Plu : public Bijector {
 public:
  explicit Plu(Builder& builder) : c_(builder.shape.c), memory_(builder.parameters.device()) {
    Parameters& p = builder.parameters;
    const int place = p.count();
    const auto factors = [c = c_, place](std::uint64_t seed) {
      return plu_of(random_rotation(c, seed + std::uint64_t(place)), c);
    };
    const std::string& name = builder.prefix;
    lower_ = p.add(name + "lower", {c_, c_}, ParameterLayout::kMatrix,
                   {0, 0, [=](std::uint64_t seed) { return factors(seed).lower; }});
    upper_ = p.add(name + "upper", {c_, c_}, ParameterLayout::kMatrix,
                   {0, 0, [=](std::uint64_t seed) { return factors(seed).upper; }});
    log_scale_ = p.add(name + "log_scale", {c_}, ParameterLayout::kPlain,
                       {0, 0, [=](std::uint64_t seed) { return factors(seed).log_scale; }});
    permutation_state_ = p.add_state(name + "permutation", {c_}, [=](std::uint64_t seed) {
      const std::vector<std::uint32_t> order = factors(seed).permutation;
      return std::vector<double>(order.begin(), order.end());
    });
    sign_state_ = p.add_state(name + "sign", {c_}, [=](std::uint64_t seed) { return factors(seed).sign; });
    permutation_ = memory_.tensor(DType::kU32, Shape{c_});
    sign_ = memory_.tensor(p.dtype(), Shape{c_});
  }

  Var forward(FlowPass& pass, Var x) const override {
    const Var log_scale = pass.parameters[log_scale_];
    add_shared_logdet(pass.tape, log_scale, double(pass.tape.value(x).map().pixels()), pass.logdet);
    return channel_matmul(pass.tape, x, compose(pass), Var{});
  }
  Var inverse(FlowPass& pass, Var z) const override {
    if (pass.logdet) {
      const double pixels = double(pass.tape.value(z).map().pixels());
      add_shared_logdet(pass.tape, pass.parameters[log_scale_], -pixels, pass.logdet);
    }
    return channel_matmul_inverse(pass.tape, z, compose(pass), Var{});
  }

  void weights_changed(const Parameters& parameters) override {
    const Device device = parameters.device();
    const std::vector<double> order = download<double>(device, parameters.state_values(permutation_state_));
    const std::vector<double> signs = download<double>(device, parameters.state_values(sign_state_));
    std::vector<std::uint32_t> permutation(c_);
    std::vector<bool> taken(c_);
    for (int i = 0; i < c_; ++i) {
      const bool right = order[i] >= 0 && order[i] < c_ && order[i] == int(order[i]) && !taken[int(order[i])];
      if (!right) throw Error("its permutation is none: the weights are damaged");
      taken[int(order[i])] = true;
      permutation[i] = std::uint32_t(order[i]);
      if (std::abs(signs[i]) != 1) throw Error("its signs are not 1 and -1: the weights are damaged");
    }
    upload(device, permutation_, permutation.data());
    dispatch_path(Device::kReference, sign_.dtype(), [&](auto, auto zero) {
      const std::vector<decltype(zero)> typed(signs.begin(), signs.end());
      upload(device, sign_, typed.data());
    });
    if (is_singular(matrix(parameters), c_)) throw Error("its matrix is singular: there is no way back from it");
  }
  std::optional<double> condition_number(const Parameters& parameters) const override {
    return core::condition_number(matrix(parameters), c_);
  }
  std::string description() const override { return "invertible 1x1 convolution, LU"; }

 private:
  Var compose(const FlowPass& pass) const {
    const ParameterVars& p = pass.parameters;
    return compose_plu(pass.tape, permutation_, p[lower_], p[upper_], p[log_scale_], sign_);
  }

  /// In double: rounded to float, a matrix that is singular is not any more.
  std::vector<double> matrix(const Parameters& parameters) const {
    const std::vector<double> order =
                                  download<double>(parameters.device(), parameters.state_values(permutation_state_)),
                              sign = download<double>(parameters.device(), parameters.state_values(sign_state_)),
                              lower = to_vector(parameters, lower_), upper = to_vector(parameters, upper_),
                              log_scale = to_vector(parameters, log_scale_);
    const std::vector<std::uint32_t> permutation(order.begin(), order.end());
    std::vector<double> w(std::size_t(c_) * c_);
    compose_plu_forward(
        w.data(), PluParameters<double>{permutation.data(), lower.data(), upper.data(), log_scale.data(), sign.data()},
        c_, Reference{});
    return w;
  }

  int c_, lower_, upper_, log_scale_, permutation_state_, sign_state_;
  Arena memory_;
  Tensor permutation_, sign_;  ///< the states as kernels read them
};

}  // namespace

LayerType invertible_conv_type() {
  return {{"invertible_conv",
           "a learned invertible matrix over the channels of each pixel, at first a random rotation",
           {choice_key("form", "plu", {"plain", "plu"},
                       "plain: all of the matrix is learned; plu: the factors of its LU decomposition, so that its "
                       "determinant is a product")}},
          [](const Settings& settings, Builder& builder) -> std::unique_ptr<Bijector> {
            if (builder.shape.c > 1024) throw Error("more than 1024 channels are too many for a matrix over them");
            if (settings.text("form") == "plain") return std::make_unique<Plain>(builder);
            return std::make_unique<Plu>(builder);
          }};
}

}  // namespace flowsmith::core
