// Scale and shift, with a log-scale that may be bounded: kernels/affine_coupling.h, docs/math/coupling.md.
#include <cmath>

#include "models/registry.h"
#include "models/transformers/transformer.h"

namespace flowsmith::core {
namespace {

constexpr const char* kBoundNames[] = {"none", "tanh", "learned_tanh", "sigmoid"};  // in the order of ScaleBound

AffineForm form_of(const Settings& settings) {
  AffineForm form;
  for (const ScaleBound bound :
       {ScaleBound::kNone, ScaleBound::kTanh, ScaleBound::kLearnedTanh, ScaleBound::kSigmoid}) {
    if (settings.text("bound") == kBoundNames[int(bound)]) form.bound = bound;
  }
  form.shift_first = settings.text("order") == "shift_first";
  form.sigmoid_shift = float(settings.number("sigmoid_shift"));
  return form;
}

class Affine : public Transformer {
 public:
  Affine(const Settings& settings, Builder& builder) : form_(form_of(settings)) {
    if (form_.bound != ScaleBound::kLearnedTanh) return;
    scaling_factor_ =
        builder.parameters.add(builder.prefix + "scaling_factor", {builder.shape.c}, ParameterLayout::kPlain, {0, 0});
  }

  int parameters_per_element() const override { return 2; }

  Var forward(FlowPass& pass, Var x, Var p, Mask mask) const override {
    return affine_coupling(pass.tape, x, p, scaling_factor(pass), pass.logdet, mask, form_);
  }
  void inverse(FlowPass& pass, Var z, Var p, Mask mask) const override {
    affine_coupling_inverse(pass.tape, z, p, scaling_factor(pass), pass.logdet, mask, form_);
  }
  void rebuild(const FlowPass& pass, Var z, Var x, Var p, Mask mask) const override {
    rebuild_affine_coupling(pass.tape, z, x, p, scaling_factor(pass), pass.logdet, mask, form_);
  }

  std::optional<double> largest_log_scale(const Parameters& parameters, int channel) const override {
    double f = 1;
    if (scaling_factor_ >= 0) f = std::exp(to_doubles(parameters.value(scaling_factor_), parameters.device())[channel]);
    const double largest = core::largest_log_scale(form_.bound, f);
    return std::isfinite(largest) ? std::optional(largest) : std::nullopt;
  }

  std::string description() const override { return std::string("affine ") + kBoundNames[int(form_.bound)]; }

 private:
  Var scaling_factor(const FlowPass& pass) const {
    return scaling_factor_ < 0 ? Var{} : pass.parameters[scaling_factor_];
  }

  AffineForm form_;
  int scaling_factor_ = -1;
};

}  // namespace

TransformerType affine_type() {
  return {
      {"affine",
       "scale and shift; the log-scale s comes from the network's s_raw",
       {choice_key("bound", "learned_tanh", {"none", "tanh", "learned_tanh", "sigmoid"},
                   "none: s = s_raw; tanh: tanh(s_raw), at most 1; learned_tanh: f tanh(s_raw / f) with a learned f "
                   "per channel; sigmoid: exp(s) = 2 sigmoid(s_raw + sigmoid_shift), at most 2"),
        choice_key("order", "scale_first", {"scale_first", "shift_first"},
                   "z exp(s) + t, as in RealNVP, or (z + t) exp(s), as in the tutorial"),
        number_key("sigmoid_shift", 0, -100, 100, "for the bound sigmoid")}},
      [](const Settings& settings, Builder& builder) -> std::unique_ptr<Transformer> {
        return std::make_unique<Affine>(settings, builder);
      }};
}

}  // namespace flowsmith::core
