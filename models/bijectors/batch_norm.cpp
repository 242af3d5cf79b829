// Batch normalisation as a layer of a flow (RealNVP, Dinh et al. 2017, section 3.7): kernels/batch_norm.h,
// docs/math/batch_norm.md. In training by the statistics of the batch, otherwise by running ones; the learned scale and
// shift behind it are those of actnorm, which are always invertible.
#include "models/bijectors/channel_scale.h"
#include "models/bijectors/running_moments.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

class BatchNorm : public Bijector {
 public:
  BatchNorm(const Settings& settings, Builder& builder)
      : moments_(builder.parameters, builder.prefix, builder.shape.c, settings.number("momentum")),
        eps_(settings.number("eps")),
        affine_(settings.flag("affine")) {
    if (affine_) scale_ = ChannelScale(builder.parameters, builder.prefix, {builder.shape.c});
  }

  Var forward(FlowPass& pass, Var x) const override {
    const Var z = pass.batch_statistics
                      ? batch_norm(pass.tape, x, Var{}, Var{}, pass.logdet, moments_.of_batch(pass, x), eps_)
                      : batch_norm_fixed(pass.tape, x, Var{}, Var{}, pass.logdet, moments_.running(), eps_);
    return affine_ ? scale_.forward(pass, z, pass.logdet) : z;
  }
  Var inverse(FlowPass& pass, Var z) const override {
    if (affine_) scale_.inverse(pass, z, pass.logdet);
    batch_norm_inverse(pass.tape, z, pass.logdet, moments_.running(), eps_);
    return z;
  }
  bool uses_batch_statistics() const override { return true; }
  void weights_changed(const Parameters& parameters) override { moments_.weights_changed(parameters); }
  std::string description() const override { return "batch norm"; }

 private:
  RunningMoments moments_;
  double eps_;
  bool affine_;
  ChannelScale scale_;
};

}  // namespace

LayerType batch_norm_type() {
  return {{"batch_norm",
           "each channel to mean 0 and variance 1: of the batch in training, of running statistics otherwise",
           {number_key("momentum", 0.1, 1e-6, 1, "share of a batch in the running statistics"),
            number_key("eps", 1e-5, 1e-12, 1, "added to the variance"),
            flag_key("affine", true, "a learned scale and shift behind it")}},
          [](const Settings& settings, Builder& builder) -> std::unique_ptr<Bijector> {
            return std::make_unique<BatchNorm>(settings, builder);
          }};
}

}  // namespace flowsmith::core
