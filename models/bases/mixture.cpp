// A mixture of K normals with learned weights, means and deviations (docs/math/mixture.md): kernels/mixture.h.
#include "kernels/mixture.h"

#include "models/bases/base.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

class Mixture : public Base {
 public:
  Mixture(const Settings& settings, Builder& builder) : components_(settings.integer("components")) {
    Parameters& p = builder.parameters;
    const std::int64_t k = components_, d = std::int64_t(builder.shape.image_size());
    weight_logits_ = p.add(builder.prefix + "weight_logits", {k}, ParameterLayout::kPlain, {0, 0});
    // Components that start at one place would stay there: all would get the same gradient.
    mean_ = p.add(builder.prefix + "mean", {k, d}, ParameterLayout::kMatrix, {0, settings.number("spread")});
    log_scale_ = p.add(builder.prefix + "log_scale", {k, d}, ParameterLayout::kMatrix, {0, 0});
  }

  Var forward(FlowPass& pass, Var z) const override {
    const ParameterVars& p = pass.parameters;
    mixture_log_density(pass.tape, z, p[weight_logits_], p[mean_], p[log_scale_], pass.logdet);
    return z;
  }
  Var inverse(FlowPass&, Var latent) const override { return latent; }
  void draw(const Parameters& parameters, const Tensor& latent, NoiseTensors noise, double temperature) const override {
    dispatch_mixed(parameters.device(), DType::kF64, parameters.dtype(), [&](auto backend, auto, auto zero) {
      using S = decltype(zero);
      const MixtureParameters<S> mixture{parameters.value(weight_logits_).data<S>(), parameters.value(mean_).data<S>(),
                                         parameters.value(log_scale_).data<S>(), components_};
      mixture_sample(latent.data<double>(), noise.index.data<std::uint32_t>(),
                     static_cast<const NoiseStream*>(noise.stream.raw()), temperature, mixture, latent.map().n,
                     latent.map().image_size(), backend);
    });
  }
  std::string description() const override { return "mixture of " + std::to_string(components_) + " normals"; }

 private:
  int components_, weight_logits_, mean_, log_scale_;
};

}  // namespace

BaseType mixture_type() {
  return {{"mixture",
           "several normals with learned weights, means and standard deviations",
           {integer_key("components", 2, 1, 1024, "normals"),
            number_key("spread", 2, 0, 1e3, "means start uniformly in [-spread, spread]")}},
          [](const Settings& settings, Builder& builder) -> std::unique_ptr<Base> {
            return std::make_unique<Mixture>(settings, builder);
          }};
}

}  // namespace flowsmith::core
