// Uniform dequantization (Theis et al. 2016): kernels/dequantization.h, docs/math/dequantization.md.
#include "models/input/image_input.h"
#include "models/registry.h"

namespace flowsmith::core {

void ImageInput::inverse(FlowPass& pass, Var z, const Tensor& data) const {
  const Tensor values = pass.tape.value(z);
  dispatch_path(pass.tape.device(), values.dtype(), [&](auto stream, auto zero) {
    dequantize_inverse(data.data<std::uint8_t>(), values.data<decltype(zero)>(), values.map().n,
                       values.map().image_size(), dequantizer_, stream);
  });
}

Key alpha_key() {
  return number_key("alpha", kAlpha, 0, 0.5, "the logit sees alpha/2 + (1 - alpha) x: keeps it away from 0 and 1");
}

namespace {

class Uniform : public ImageInput {
 public:
  using ImageInput::ImageInput;

  Var forward(FlowPass& pass, const BatchTensors& batch, DType path) const override {
    if (batch.noise)
      return dequantize(pass.tape, batch.data, pass.tape.constant(batch.noise), pass.logdet, dequantizer_);
    return noisy_dequantize(pass.tape, batch.data, {batch.index, batch.stream}, pass.logdet, path, dequantizer_);
  }
  std::string description() const override { return "uniform dequantization"; }
};

}  // namespace

DequantizationType uniform_type() {
  return {{"uniform", "noise spreads each pixel value evenly over its bin", {alpha_key()}},
          [](const Settings& settings, Builder& builder) -> std::unique_ptr<InputLayer> {
            return std::make_unique<Uniform>(settings, builder);
          }};
}

}  // namespace flowsmith::core
