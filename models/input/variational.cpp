// Variational dequantization (Flow++, Ho et al. 2019): the noise is shaped by a flow of its own, whose couplings see
// the image. docs/math/variational_dequantization.md.
#include "models/bijectors/sequence.h"
#include "models/input/image_input.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

class Variational : public ImageInput {
 public:
  Variational(const Settings& settings, Builder& builder)
      : ImageInput(settings, builder), noise_alpha_(settings.flag("undo_alpha") ? dequantizer_.alpha : 0) {
    Builder inner = builder;
    inner.image_channels = builder.shape.c;
    layers_ = make_layers(settings.components("layers"), inner, builder.prefix + "flows.", 0);
    if (inner.shape.image_size() != builder.shape.image_size() || inner.shape.c != builder.shape.c) {
      throw Error("the layers that shape the noise must keep its shape");
    }
  }

  Var forward(FlowPass& pass, const BatchTensors& batch, DType path) const override {
    return run(pass, batch, path, [&](const Bijector& layer, Var v) { return layer.forward(pass, v); });
  }
  Var initialize(FlowPass& pass, Parameters& parameters, const BatchTensors& batch, DType path) const override {
    return run(pass, batch, path, [&](const Bijector& layer, Var v) { return layer.initialize(pass, parameters, v); });
  }
  bool needs_data() const override { return core::needs_data(layers_); }
  void weights_changed(const Parameters& parameters) override { core::weights_changed(layers_, parameters); }

  std::vector<NamedMask> masks() const override {
    std::vector<NamedMask> all;
    for (const PlacedLayer& layer : layers_) {
      for (NamedMask& mask : layer.bijector->masks()) all.push_back(std::move(mask));
    }
    return all;
  }
  std::string description() const override { return "variational dequantization"; }

 private:
  /// `apply(layer, v)` is what is done with each layer.
  template <class Apply>
  Var run(FlowPass& pass, const BatchTensors& batch, DType path, Apply&& apply) const {
    Tape& tape = pass.tape;
    Var v = batch.noise
                ? logit(tape, tape.constant(batch.noise), pass.logdet, dequantizer_)
                : noisy_logit(tape, {batch.index, batch.stream}, batch.data.map(), pass.logdet, path, dequantizer_);
    // Names are made only for somebody who looks: a step allocates nothing.
    if (pass.on_part != nullptr) (*pass.on_part)("noise.logit", "logit of the uniform noise");
    pass.image = batch.data;
    pass.levels = dequantizer_.levels;
    for (const PlacedLayer& layer : layers_) {
      v = apply(*layer.bijector, v);
      if (pass.on_part != nullptr) (*pass.on_part)(layer.name, layer.bijector->description());
    }
    pass.image = {};
    const Var u = sigmoid(tape, v, pass.logdet, noise_alpha_);
    if (pass.on_part != nullptr) (*pass.on_part)("noise.sigmoid", "sigmoid of the shaped noise");
    return dequantize(tape, batch.data, u, pass.logdet, dequantizer_);
  }

  double noise_alpha_;
  std::vector<PlacedLayer> layers_;
};

}  // namespace

DequantizationType variational_type() {
  return {
      {"variational",
       "layers that see the image shape the noise",
       {alpha_key(),
        flag_key("undo_alpha", false, "whether the noise's sigmoid takes alpha back, as in the tutorial's JAX edition"),
        layers_key("layers", "between the logit of uniform noise and the noise")}},
      [](const Settings& settings, Builder& builder) -> std::unique_ptr<InputLayer> {
        return std::make_unique<Variational>(settings, builder);
      }};
}

}  // namespace flowsmith::core
