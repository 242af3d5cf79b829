#include "models/dequantization.h"

namespace flowsmith {

/// The couplings of variational dequantization: noise on the real line to noise in (0, 1) that suits the images.
Var Dequantization::shape_noise(FlowPass& pass, Tensor images, Var v) const {
  for (const auto& coupling : couplings_) v = coupling->forward(pass, v, images);
  return sigmoid(pass.tape, v, pass.logdet);
}

Var Dequantization::forward(FlowPass& pass, Tensor images, Var u) const {
  if (variational()) u = shape_noise(pass, images, logit(pass.tape, u, pass.logdet));
  return dequantize(pass.tape, images, u, pass.logdet);
}

Var Dequantization::forward(FlowPass& pass, const BatchTensors& batch, DType path) const {
  if (batch.values) return forward(pass, batch.images, pass.tape.constant(batch.values));
  const NoiseTensors noise{batch.index, batch.stream};
  if (!variational()) return noisy_dequantize(pass.tape, batch.images, noise, pass.logdet, path);
  const Var v = noisy_logit(pass.tape, noise, batch.images.map(), pass.logdet, path);
  return dequantize(pass.tape, batch.images, shape_noise(pass, batch.images, v), pass.logdet);
}

std::string Dequantization::description() const {
  return variational() ? "variational dequantization" : "uniform dequantization";
}

}  // namespace flowsmith
